//! A config through serde: the file's shape, checked as a file is.

use std::collections::HashSet;
use std::fmt;

use serde::de::{self, DeserializeSeed, MapAccess, SeqAccess, Visitor};
use serde::ser::{SerializeMap, Serializer};
use serde::{Deserialize, Deserializer, Serialize};

use super::Config;
use super::check::Machine;
use super::error::Source;
use super::keys::Place;
use super::source::Draft;
use super::values::{Data, Node, Pinning, Value};

/// Sections deep, dispatchers, keys, lists: what nests deeper is refused before it is built.
const DEPTH_MAX: usize = 8;

impl<'de> Deserialize<'de> for Config {
    /// Reads any self-describing format; keys left out take their defaults.
    ///
    /// # Errors
    ///
    /// The format's, with the text of a [`ConfigError`](super::ConfigError).
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let root = NodeSeed { depth: 0 }.deserialize(deserializer)?;
        let mut draft = Draft::default();
        draft.tree(&root, &|_| Source::Data);
        draft.finish(&Machine::current()).map_err(de::Error::custom)
    }
}

/// Builds a [`Node`], no deeper than [`DEPTH_MAX`].
#[derive(Clone, Copy)]
struct NodeSeed {
    depth: usize,
}

impl NodeSeed {
    fn deeper<E: de::Error>(self) -> Result<Self, E> {
        if self.depth == DEPTH_MAX {
            let message = format!("configuration nested deeper than {DEPTH_MAX}");
            return Err(E::custom(message));
        }
        let depth = self.depth + 1;
        Ok(Self { depth })
    }
}

fn node<E>(data: Data) -> Result<Node, E> {
    Ok(Node { data, line: None })
}

impl<'de> DeserializeSeed<'de> for NodeSeed {
    type Value = Node;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Node, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for NodeSeed {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("configuration data")
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<Node, E> {
        node(Data::Other(value.to_string()))
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Node, E> {
        node(Data::Whole(value.into()))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Node, E> {
        node(Data::Whole(value.into()))
    }

    fn visit_i128<E: de::Error>(self, value: i128) -> Result<Node, E> {
        node(Data::Whole(value))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Node, E> {
        // Debug keeps the point of 4.0, which is what makes it no whole number.
        node(Data::Other(format!("{value:?}")))
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<Node, E> {
        node(Data::Text(value.to_owned()))
    }

    fn visit_unit<E: de::Error>(self) -> Result<Node, E> {
        node(Data::Other("null".to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Node, A::Error> {
        let deeper = self.deeper()?;
        let mut items = Vec::new();
        while let Some(item) = seq.next_element_seed(deeper)? {
            items.push(item);
        }
        node(Data::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Node, A::Error> {
        let deeper = self.deeper()?;
        let mut entries: Vec<(String, Node)> = Vec::new();
        let mut seen = HashSet::new();
        while let Some(key) = map.next_key::<String>()? {
            if !seen.insert(key.clone()) {
                return Err(de::Error::custom(format!("{key}: set twice")));
            }
            entries.push((key, map.next_value_seed(deeper)?));
        }
        node(Data::Table(entries))
    }
}

impl Serialize for Config {
    /// Writes every key, in the shape that `Deserialize` and a file have.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut tree: Vec<(String, Branch)> = Vec::new();
        for place in Place::all(self) {
            let value = place.get(self);
            let key = place.spec().name.to_owned();
            let (section, leaf) = match &place {
                Place::Named(name, _) => ("dispatchers".into(), Some(name.clone())),
                _ => (place.section(), None),
            };
            let section = branch(&mut tree, &section);
            let keys = match leaf {
                Some(name) => branch(section, &name),
                None => section,
            };
            keys.push((key, Branch::Leaf(value)));
        }
        Branch::Section(tree).serialize(serializer)
    }
}

/// A section with its keys, or a key's value.
enum Branch {
    Section(Vec<(String, Branch)>),
    Leaf(Value),
}

/// The section `name`, made when it is not there.
fn branch<'a>(tree: &'a mut Vec<(String, Branch)>, name: &str) -> &'a mut Vec<(String, Branch)> {
    if tree.last().is_none_or(|(last, _)| last != name) {
        tree.push((name.to_owned(), Branch::Section(Vec::new())));
    }
    match tree.last_mut() {
        Some((_, Branch::Section(entries))) => entries,
        _ => unreachable!("a section holds sections or keys, not both"),
    }
}

impl Serialize for Branch {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Section(entries) => {
                let mut map = serializer.serialize_map(Some(entries.len()))?;
                for (key, value) in entries {
                    map.serialize_entry(key, value)?;
                }
                map.end()
            }
            Self::Leaf(Value::Whole(number)) => match i64::try_from(*number) {
                Ok(number) => serializer.serialize_i64(number),
                Err(_) => serializer.serialize_i128(*number),
            },
            Self::Leaf(Value::Pinning(Pinning::Cores(cores))) => cores.serialize(serializer),
            Self::Leaf(value) => serializer.collect_str(value),
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use std::cell::Cell;

    use serde::de::value::{Error, MapDeserializer};

    /// A format that nests one map in another without end, and counts how many were asked for.
    struct Endless<'a>(&'a Cell<usize>);

    impl<'de> Deserializer<'de> for Endless<'_> {
        type Error = Error;

        fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            visitor.visit_map(self)
        }

        serde::forward_to_deserialize_any! {
            bool i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 char str string bytes byte_buf option unit
            unit_struct newtype_struct seq tuple tuple_struct map struct enum identifier ignored_any
        }
    }

    impl<'de> MapAccess<'de> for Endless<'_> {
        type Error = Error;

        fn next_key_seed<K: DeserializeSeed<'de>>(
            &mut self,
            seed: K,
        ) -> Result<Option<K::Value>, Error> {
            let key = de::value::StrDeserializer::new("system");
            seed.deserialize(key).map(Some)
        }

        fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Error> {
            self.0.set(self.0.get() + 1);
            seed.deserialize(Endless(self.0))
        }
    }

    #[test]
    fn endless_nesting_is_refused() {
        let depth = Cell::new(0);
        let error = Config::deserialize(Endless(&depth)).unwrap_err();
        assert_eq!(depth.get(), DEPTH_MAX);
        assert_eq!(error.to_string(), "configuration nested deeper than 8");
    }

    #[test]
    fn a_key_that_comes_twice_is_refused() {
        let entries = [("workers", 1u64), ("workers", 2u64)];
        let section = MapDeserializer::<_, Error>::new(entries.into_iter());
        let mut outer = MapDeserializer::<_, Error>::new([("dispatcher", section)].into_iter());
        let error = NodeSeed { depth: 0 }.visit_map(&mut outer).unwrap_err();
        assert_eq!(error.to_string(), "workers: set twice");
    }
}
