//! Plain values as machines: [`Context`], and the assignments that are its events.

use super::cell::LentMut;
use super::{Behavior, Machine, Snapshot};
use crate::envelope::{Kind, Parcel};
use std::fmt;
use std::marker::PhantomData;
use std::ops::Deref;

/// A machine for a plain value, changed by assignments alone: for actors whose state needs no
/// events of its own.
///
/// It reads like the value that it holds. See [`assign!`](crate::assign).
///
/// # Examples
///
/// ```
/// use mainspring::{Context, Machine, assign};
///
/// #[derive(Default)]
/// struct Visits { count: u64 }
///
/// let mut visits = Context::new(Visits::default());
/// visits.apply(assign!(Visits { count: |old| old.count + 1 }));
/// assert_eq!(visits.count, 1);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Context<T>(T);

impl<T> Context<T> {
    /// A machine that begins as `value`.
    pub fn new(value: T) -> Self {
        Self(value)
    }

    /// The value.
    pub fn into_inner(self) -> T {
        self.0
    }
}

impl<T> Deref for Context<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T: Send + 'static> Machine for Context<T> {
    type Event = Assign<T>;

    fn apply(&mut self, assign: Assign<T>) {
        assign.apply(&mut self.0);
    }
}

/// A change of a `T`, as data: what it is called, and a function with the values that it moves in.
///
/// The event of [`Context`]; [`assign!`](crate::assign) makes it. It costs no allocation in steady
/// state: the function lies in an envelope from the worker's own pool.
#[must_use = "an assignment does nothing until a plan emits it, or it is applied"]
pub struct Assign<T> {
    label: &'static str,
    change: Parcel,
    of: PhantomData<fn(&mut T)>,
}

impl<T: 'static> Assign<T> {
    /// The change that `change` makes, called `label`.
    ///
    /// `change` sees the value as it is when the plan is committed; a panic of it is one of the
    /// turn.
    #[inline]
    pub fn new(label: &'static str, change: impl FnOnce(&mut T) + Send + 'static) -> Self {
        let change = move |value: LentMut<T>| value.with(change);
        Self {
            label,
            change: Parcel::closure::<LentMut<T>, (), _>(Kind::Step, change, [0; 2]),
            of: PhantomData,
        }
    }

    /// What the change is called: the names of the fields, if [`assign!`](crate::assign) was given
    /// no other.
    pub fn label(&self) -> &'static str {
        self.label
    }

    /// Changes `value`: what the runtime does at the commit, for tests and for use without it.
    #[inline]
    pub fn apply(self, value: &mut T) {
        LentMut::call(self.change, value);
    }
}

impl<T> fmt::Debug for Assign<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Assign").field(&self.label).finish()
    }
}

impl<B, T> Snapshot<'_, B>
where
    B: Behavior<Machine = Context<T>>,
{
    /// The value of a [`Context`], where an argument needs a plain reference.
    pub fn context(&self) -> &T {
        &self.0
    }
}

/// An [`Assign`]: new values for some fields of a struct, in one change.
///
/// `field: value` sets a field; `field: |old| value` computes it from the whole value as it was
/// before this change, whatever the order. Fields that are not named keep their values. What the
/// values use is moved in. A text and `=>` in front give the change a name of its own.
///
/// # Examples
///
/// ```
/// use mainspring::{Assign, assign};
///
/// #[derive(Debug, PartialEq)]
/// struct Point { x: i64, y: i64, moves: u32 }
///
/// let swap: Assign<Point> = assign!("swap" => Point {
///     x: |old| old.y,
///     y: |old| old.x,
///     moves: |old| old.moves + 1,
/// });
/// assert_eq!(swap.label(), "swap");
///
/// let mut point = Point { x: 1, y: 2, moves: 0 };
/// swap.apply(&mut point);
/// assert_eq!(point, Point { x: 2, y: 1, moves: 1 });
///
/// let back = assign!(Point { x: 0, y: 0 });
/// assert_eq!(format!("{back:?}"), "Assign(\"x, y\")");
/// back.apply(&mut point);
/// assert_eq!(point, Point { x: 0, y: 0, moves: 1 });
/// ```
///
/// A misspelt field does not compile:
///
/// ```compile_fail,E0609
/// struct Point { x: i64 }
/// let _ = mainspring::assign!(Point { z: 1 });
/// ```
#[macro_export]
macro_rules! assign {
    ($label:literal => $type:path { $($fields:tt)* }) => {
        $crate::__assign!(@fields $label, $type, [] $($fields)*)
    };
    ($type:path { $($fields:tt)* }) => {
        $crate::__assign!(@label $type, [$($fields)*] [] $($fields)*)
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __assign {
    // The names of the fields, joined.
    (@label $type:path, $all:tt [$($name:ident)*] $field:ident : |$old:pat_param| $value:expr $(, $($rest:tt)*)?) => {
        $crate::__assign!(@label $type, $all [$($name)* $field] $($($rest)*)?)
    };
    (@label $type:path, $all:tt [$($name:ident)*] $field:ident : $value:expr $(, $($rest:tt)*)?) => {
        $crate::__assign!(@label $type, $all [$($name)* $field] $($($rest)*)?)
    };
    (@label $type:path, [$($all:tt)*] [$first:ident $($name:ident)*]) => {
        $crate::__assign!(@fields concat!(stringify!($first) $(, ", ", stringify!($name))*), $type, [] $($all)*)
    };
    // The fields with their functions of the old value.
    (@fields $label:expr, $type:path, [$($done:tt)*] $field:ident : |$old:pat_param| $value:expr $(, $($rest:tt)*)?) => {
        $crate::__assign!(@fields $label, $type, [$($done)* ($field, $old, $value)] $($($rest)*)?)
    };
    (@fields $label:expr, $type:path, [$($done:tt)*] $field:ident : $value:expr $(, $($rest:tt)*)?) => {
        $crate::__assign!(@fields $label, $type, [$($done)* ($field, _, $value)] $($($rest)*)?)
    };
    (@fields $label:expr, $type:path, [$(($field:ident, $old:pat_param, $value:expr))*]) => {
        $crate::Assign::<$type>::new($label, #[allow(unreachable_code)] move |value: &mut $type| {
            // All are computed before any is written.
            let ($($field,)*) = ($({
                let $old = &*value;
                $value
            },)*);
            $(value.$field = $field;)*
        })
    };
}
