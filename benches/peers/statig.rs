//! The flat and the three-level chart as statig machines, written by hand as its macro writes them.

use std::hint::black_box;

use statig::blocking::{
    IntoStateMachine, IntoStateMachineExt, Outcome, State, StateMachine, Superstate,
};

/// How many actions ran. An increment is its own, as a closure's is in a loaded chart.
#[derive(Default)]
pub(crate) struct Flat(u64);

fn count(n: &mut u64) {
    *n = black_box(*n + 1);
}

pub(crate) enum FlatState {
    A,
    B,
}

/// No state has one around it.
pub(crate) enum Nothing {}

impl IntoStateMachine for Flat {
    type Event<'e> = u8;
    type Context<'c> = ();
    type State = FlatState;
    type Superstate<'s> = Nothing;

    fn initial() -> FlatState {
        FlatState::A
    }
}

impl State<Flat> for FlatState {
    fn call_handler(&mut self, flat: &mut Flat, event: &u8, (): &mut ()) -> Outcome<Self> {
        match (&*self, event) {
            (Self::A, 0) if flat.0 < u64::MAX => {
                count(&mut flat.0);
                Outcome::Transition(Self::B)
            }
            (Self::B, 0) => {
                count(&mut flat.0);
                Outcome::Transition(Self::A)
            }
            _ => Outcome::Super,
        }
    }
}

impl Superstate<Flat> for Nothing {
    fn call_handler(&mut self, _: &mut Flat, _: &u8, (): &mut ()) -> Outcome<FlatState> {
        match *self {}
    }
}

#[derive(Default)]
pub(crate) struct Deep(u64);

/// The leaves `a.x.i` and `b.y.j`.
pub(crate) enum Leaf {
    I,
    J,
}

pub(crate) enum Around {
    A,
    X,
    B,
    Y,
}

impl IntoStateMachine for Deep {
    type Event<'e> = u8;
    type Context<'c> = ();
    type State = Leaf;
    type Superstate<'s> = Around;

    fn initial() -> Leaf {
        Leaf::I
    }
}

impl State<Deep> for Leaf {
    fn call_handler(&mut self, deep: &mut Deep, event: &u8, (): &mut ()) -> Outcome<Self> {
        match (&*self, event) {
            (Self::I, 0) => {
                count(&mut deep.0);
                Outcome::Transition(Self::J)
            }
            (Self::J, 0) => {
                (0..3).for_each(|_| count(&mut deep.0));
                Outcome::Transition(Self::I)
            }
            _ => Outcome::Super,
        }
    }

    fn superstate(&mut self) -> Option<Around> {
        Some(match self {
            Self::I => Around::X,
            Self::J => Around::Y,
        })
    }
}

impl Superstate<Deep> for Around {
    fn call_handler(&mut self, _: &mut Deep, _: &u8, (): &mut ()) -> Outcome<Leaf> {
        Outcome::Super
    }

    fn call_entry_action(&mut self, deep: &mut Deep, (): &mut ()) {
        if matches!(self, Self::B | Self::Y) {
            count(&mut deep.0);
        }
    }

    fn call_exit_action(&mut self, deep: &mut Deep, (): &mut ()) {
        count(&mut deep.0);
    }

    fn superstate(&mut self) -> Option<Self> {
        match self {
            Self::X => Some(Self::A),
            Self::Y => Some(Self::B),
            Self::A | Self::B => None,
        }
    }
}

pub(crate) fn flat() -> StateMachine<Flat> {
    Flat::default().state_machine()
}

pub(crate) fn deep() -> StateMachine<Deep> {
    Deep::default().state_machine()
}

#[inline(never)]
pub(crate) fn go_flat(machine: &mut StateMachine<Flat>, event: u8) {
    machine.handle(&event);
}

#[inline(never)]
pub(crate) fn go_deep(machine: &mut StateMachine<Deep>, event: u8) {
    machine.handle(&event);
}
