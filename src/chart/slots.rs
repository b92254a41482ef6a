//! The context of charts that bring their own data language: variables at fixed places.

use std::cell::RefCell;
use std::rc::Rc;

use hashbrown::HashMap;
use serde::de::{Deserialize, Deserializer, Error};
use serde::ser::{Serialize, SerializeMap, Serializer};

use super::value::{Name, Value};

/// Variables by place, and the children a chart knows of.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Slots {
    /// By place; `None` is "not declared".
    pub values: Vec<Option<Value>>,
    /// The ids of the children started and not stopped.
    pub children: Vec<Name>,
    /// What SCXML tells a session of itself.
    pub own: Own,
}

/// What an SCXML session knows of itself and of the others.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Own {
    /// Its number; `_sessionid` is `s` and this.
    pub session: u32,
    /// How many sessions there have been: higher numbers cannot be reached.
    pub sessions: u32,
    /// Whether another session invoked it.
    pub has_parent: bool,
    /// The number of the next generated id.
    pub next_id: u32,
}

impl Slots {
    /// The value at `place`, if it was declared.
    #[inline]
    pub fn get(&self, place: usize) -> Option<&Value> {
        self.values.get(place)?.as_ref()
    }

    /// Declares or sets the value at `place`.
    #[inline]
    pub fn set(&mut self, place: usize, value: Value) {
        if place >= self.values.len() {
            self.values.resize(place + 1, None);
        }
        self.values[place] = Some(value);
    }

    /// Keeps count of a child.
    pub fn note_child(&mut self, id: &Name, alive: bool) {
        self.children.retain(|c| c != id);
        if alive {
            self.children.push(id.clone());
        }
    }
}

/// How many variables are read back; this bounds the memory that a text can ask for.
const PLACES_MAX: usize = 1 << 20;

/// The key under which the number of the next generated id is saved, beside the places.
const NEXT_ID: &str = "next_id";

impl Serialize for Slots {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for (place, value) in self.values.iter().enumerate() {
            if let Some(value) = value.as_ref().filter(|v| !v.is_undefined()) {
                map.serialize_entry(&place.to_string(), value)?;
            }
        }
        if self.own.next_id > 0 {
            map.serialize_entry(NEXT_ID, &self.own.next_id)?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for Slots {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let map = std::collections::BTreeMap::<String, Value>::deserialize(deserializer)?;
        let mut slots = Self::default();
        for (key, value) in map {
            if key == NEXT_ID {
                let next_id = value.num().filter(|n| n.fract() == 0.0 && *n >= 0.0);
                slots.own.next_id = next_id.ok_or_else(|| {
                    D::Error::custom(format!(
                        "{NEXT_ID} is {}; expected a number",
                        value.to_json()
                    ))
                })? as u32;
                continue;
            }
            let place = key.parse().ok().filter(|&place: &usize| place < PLACES_MAX);
            let place = place.ok_or_else(|| {
                D::Error::custom(format!(
                    "unknown variable {key:?}; expected a number below {PLACES_MAX}, or {NEXT_ID}"
                ))
            })?;
            slots.set(place, value);
        }
        Ok(slots)
    }
}

/// The names of a chart's variables; shared by everything that is compiled for it.
#[derive(Clone, Debug, Default)]
pub struct Symbols(Rc<RefCell<Inner>>);

#[derive(Debug, Default)]
struct Inner {
    places: HashMap<Name, usize>,
    names: Vec<Name>,
}

impl Symbols {
    /// The place of `name`, a new one if it has none.
    pub fn place(&self, name: &str) -> usize {
        let mut inner = self.0.borrow_mut();
        if let Some(&place) = inner.places.get(name) {
            return place;
        }
        let name: Name = name.into();
        let place = inner.names.len();
        inner.places.insert(name.clone(), place);
        inner.names.push(name);
        place
    }

    /// All names, by place.
    pub fn names(&self) -> Vec<Name> {
        self.0.borrow().names.clone()
    }
}

/// The variables as one map.
pub fn as_map(names: &[Name], slots: &Slots) -> Value {
    let fields = names.iter().zip(&slots.values);
    Value::Map(
        fields
            .filter_map(|(name, value)| Some((name.clone(), value.clone()?)))
            .collect(),
    )
}
