//! Any type of serde's as a [`Value`], and back.
//!
//! An integer that a [`Value`]'s number cannot hold is a text of its digits, which reads back as
//! that integer.

use std::fmt;

use serde::de::value::{MapDeserializer, SeqDeserializer, StringDeserializer};
use serde::de::{self, DeserializeOwned, Deserializer, IntoDeserializer, Visitor};
use serde::forward_to_deserialize_any;
use serde::ser::{self, Serialize, Serializer};

use super::value::{Name, Value};

/// Why a type's value could not be written or read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NoData(String);

impl fmt::Display for NoData {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for NoData {}

impl ser::Error for NoData {
    fn custom<T: fmt::Display>(what: T) -> Self {
        Self(what.to_string())
    }
}

impl de::Error for NoData {
    fn custom<T: fmt::Display>(what: T) -> Self {
        Self(what.to_string())
    }
}

/// `data` as a value.
pub(crate) fn to_value<T: Serialize + ?Sized>(data: &T) -> Result<Value, NoData> {
    data.serialize(Writer)
}

/// What [`to_value`] made a value of.
pub(crate) fn from_value<T: DeserializeOwned>(value: &Value) -> Result<T, NoData> {
    T::deserialize(Reader(value.clone()))
}

/// The largest integers that a number holds exactly.
const EXACT: u64 = 1 << 53;

fn integer(n: impl TryInto<i64> + fmt::Display + Copy) -> Value {
    match n.try_into() {
        Ok(small) if small.unsigned_abs() <= EXACT => Value::Num(small as f64),
        _ => Value::str(n.to_string()),
    }
}

struct Writer;

/// What a list, a map or a variant with fields is written into.
struct Parts {
    variant: Option<&'static str>,
    items: Vec<Value>,
    fields: Vec<(Name, Value)>,
    key: Option<Name>,
}

impl Parts {
    fn new(variant: Option<&'static str>) -> Self {
        Self {
            variant,
            items: Vec::new(),
            fields: Vec::new(),
            key: None,
        }
    }

    fn item<T: Serialize + ?Sized>(&mut self, item: &T) -> Result<(), NoData> {
        self.items.push(to_value(item)?);
        Ok(())
    }

    fn field<T: Serialize + ?Sized>(&mut self, key: Name, value: &T) -> Result<(), NoData> {
        self.fields.push((key, to_value(value)?));
        Ok(())
    }

    fn list(self) -> Result<Value, NoData> {
        Ok(within(self.variant, Value::List(self.items)))
    }

    fn map(self) -> Result<Value, NoData> {
        Ok(within(self.variant, Value::Map(self.fields)))
    }
}

fn within(variant: Option<&'static str>, value: Value) -> Value {
    match variant {
        Some(variant) => Value::Map(vec![(variant.into(), value)]),
        None => value,
    }
}

macro_rules! integers {
    ($($method:ident: $type:ty),*) => {
        $(fn $method(self, n: $type) -> Result<Value, NoData> { Ok(integer(n)) })*
    };
}

impl Serializer for Writer {
    type Ok = Value;
    type Error = NoData;
    type SerializeSeq = Parts;
    type SerializeTuple = Parts;
    type SerializeTupleStruct = Parts;
    type SerializeTupleVariant = Parts;
    type SerializeMap = Parts;
    type SerializeStruct = Parts;
    type SerializeStructVariant = Parts;

    integers! {
        serialize_i8: i8, serialize_i16: i16, serialize_i32: i32, serialize_i64: i64,
        serialize_i128: i128, serialize_u8: u8, serialize_u16: u16, serialize_u32: u32,
        serialize_u64: u64, serialize_u128: u128
    }

    fn serialize_bool(self, is: bool) -> Result<Value, NoData> {
        Ok(Value::Bool(is))
    }

    fn serialize_f32(self, n: f32) -> Result<Value, NoData> {
        Ok(Value::Num(f64::from(n)))
    }

    fn serialize_f64(self, n: f64) -> Result<Value, NoData> {
        Ok(Value::Num(n))
    }

    fn serialize_char(self, letter: char) -> Result<Value, NoData> {
        Ok(Value::str(letter.to_string()))
    }

    fn serialize_str(self, text: &str) -> Result<Value, NoData> {
        Ok(Value::str(text))
    }

    fn serialize_bytes(self, bytes: &[u8]) -> Result<Value, NoData> {
        let bytes = bytes.iter().map(|&byte| Value::Num(f64::from(byte)));
        Ok(Value::List(bytes.collect()))
    }

    fn serialize_none(self) -> Result<Value, NoData> {
        Ok(Value::Null)
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<Value, NoData> {
        to_value(value)
    }

    fn serialize_unit(self) -> Result<Value, NoData> {
        Ok(Value::Null)
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result<Value, NoData> {
        Ok(Value::Null)
    }

    fn serialize_unit_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
    ) -> Result<Value, NoData> {
        Ok(Value::str(variant))
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        value: &T,
    ) -> Result<Value, NoData> {
        to_value(value)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<Value, NoData> {
        Ok(within(Some(variant), to_value(value)?))
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Parts, NoData> {
        Ok(Parts::new(None))
    }

    fn serialize_tuple(self, _: usize) -> Result<Parts, NoData> {
        Ok(Parts::new(None))
    }

    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Parts, NoData> {
        Ok(Parts::new(None))
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Parts, NoData> {
        Ok(Parts::new(Some(variant)))
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Parts, NoData> {
        Ok(Parts::new(None))
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Parts, NoData> {
        Ok(Parts::new(None))
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Parts, NoData> {
        Ok(Parts::new(Some(variant)))
    }
}

macro_rules! lists {
    ($($of:ident: $method:ident),*) => {
        $(impl ser::$of for Parts {
            type Ok = Value;
            type Error = NoData;

            fn $method<T: Serialize + ?Sized>(&mut self, item: &T) -> Result<(), NoData> {
                self.item(item)
            }

            fn end(self) -> Result<Value, NoData> {
                self.list()
            }
        })*
    };
}

lists! {
    SerializeSeq: serialize_element, SerializeTuple: serialize_element,
    SerializeTupleStruct: serialize_field, SerializeTupleVariant: serialize_field
}

macro_rules! structs {
    ($($of:ident),*) => {
        $(impl ser::$of for Parts {
            type Ok = Value;
            type Error = NoData;

            fn serialize_field<T: Serialize + ?Sized>(
                &mut self,
                name: &'static str,
                value: &T,
            ) -> Result<(), NoData> {
                self.field(name.into(), value)
            }

            fn end(self) -> Result<Value, NoData> {
                self.map()
            }
        })*
    };
}

structs! { SerializeStruct, SerializeStructVariant }

impl ser::SerializeMap for Parts {
    type Ok = Value;
    type Error = NoData;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), NoData> {
        self.key = Some(match to_value(key)? {
            Value::Str(text) => text,
            Value::Num(n) => super::value::number(n).into(),
            Value::Bool(is) => is.to_string().into(),
            other => return Err(ser::Error::custom(format!("{other:?} is no key of a map"))),
        });
        Ok(())
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), NoData> {
        let key = self.key.take().unwrap_or_default();
        self.field(key, value)
    }

    fn end(self) -> Result<Value, NoData> {
        self.map()
    }
}

struct Reader(Value);

impl<'de> IntoDeserializer<'de, NoData> for Reader {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

/// Numbers, also those that are a text: large ones, and the keys of maps.
macro_rules! numbers {
    ($($method:ident: $visit:ident $type:ty),*) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, NoData> {
            match self.0.text().and_then(|text| text.parse::<$type>().ok()) {
                Some(number) => visitor.$visit(number),
                None => self.deserialize_any(visitor),
            }
        })*
    };
}

impl<'de> Deserializer<'de> for Reader {
    type Error = NoData;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, NoData> {
        match self.0 {
            Value::Undefined | Value::Null => visitor.visit_unit(),
            Value::Bool(is) => visitor.visit_bool(is),
            Value::Num(n) if n.fract() == 0.0 && n.abs() <= EXACT as f64 => match n < 0.0 {
                true => visitor.visit_i64(n as i64),
                false => visitor.visit_u64(n as u64),
            },
            Value::Num(n) => visitor.visit_f64(n),
            Value::Str(text) => visitor.visit_str(&text),
            Value::List(items) => {
                let mut items = SeqDeserializer::new(items.into_iter().map(Reader));
                let list = visitor.visit_seq(&mut items)?;
                items.end().map(|()| list)
            }
            Value::Map(fields) => {
                let fields = fields
                    .into_iter()
                    .map(|(key, value)| (Key(key), Reader(value)));
                let mut fields = MapDeserializer::new(fields);
                let map = visitor.visit_map(&mut fields)?;
                fields.end().map(|()| map)
            }
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, NoData> {
        match self.0 {
            Value::Undefined | Value::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, NoData> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, NoData> {
        match self.0 {
            Value::Str(variant) => {
                let variant: StringDeserializer<NoData> = variant.to_string().into_deserializer();
                variant.deserialize_enum(name, variants, visitor)
            }
            Value::Map(fields) if fields.len() == 1 => {
                let fields = fields
                    .into_iter()
                    .map(|(key, value)| (Key(key), Reader(value)));
                let map = MapDeserializer::new(fields);
                visitor.visit_enum(de::value::MapAccessDeserializer::new(map))
            }
            other => Err(de::Error::custom(format!(
                "{other:?} is no variant of {name}"
            ))),
        }
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, NoData> {
        match self.0.text().and_then(|text| text.parse().ok()) {
            Some(is) => visitor.visit_bool(is),
            None => self.deserialize_any(visitor),
        }
    }

    numbers! {
        deserialize_i8: visit_i8 i8, deserialize_i16: visit_i16 i16, deserialize_i32: visit_i32 i32,
        deserialize_i64: visit_i64 i64, deserialize_i128: visit_i128 i128,
        deserialize_u8: visit_u8 u8, deserialize_u16: visit_u16 u16, deserialize_u32: visit_u32 u32,
        deserialize_u64: visit_u64 u64, deserialize_u128: visit_u128 u128
    }

    forward_to_deserialize_any! {
        f32 f64 char str string bytes byte_buf unit unit_struct seq tuple tuple_struct map struct
        identifier ignored_any
    }
}

/// A key of a map: a text, which may be of a number.
struct Key(Name);

impl<'de> IntoDeserializer<'de, NoData> for Key {
    type Deserializer = Reader;

    fn into_deserializer(self) -> Reader {
        Reader(Value::Str(self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::{Deserialize, Serialize};
    use std::collections::BTreeMap;

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    enum Shape {
        Unit,
        New(u8),
        Pair(i64, String),
        Named { wide: u64, none: Option<u8> },
    }

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    struct Newtype(i128);

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    struct All {
        shapes: Vec<Shape>,
        by_number: BTreeMap<u32, bool>,
        by_truth: BTreeMap<bool, char>,
        some: Option<Option<f32>>,
        unit: (),
        pair: (i8, f64),
        wide: Newtype,
        largest: [u64; 2],
    }

    #[test]
    fn what_serde_writes_is_read_back_as_it_was() {
        let all = All {
            shapes: vec![
                Shape::Unit,
                Shape::New(7),
                Shape::Pair(i64::MIN, "a".to_owned()),
                Shape::Named {
                    wide: u64::MAX,
                    none: None,
                },
            ],
            by_number: [(1, true), (4_000_000_000, false)].into(),
            by_truth: [(true, 'x')].into(),
            some: Some(Some(0.5)),
            unit: (),
            pair: (-8, 1e300),
            wide: Newtype(i128::MIN),
            largest: [EXACT, EXACT + 1],
        };
        let value = to_value(&all).unwrap();
        assert_eq!(from_value::<All>(&value).unwrap(), all);
        assert_eq!(
            value.field("largest"),
            Some(&Value::List(vec![
                Value::Num(EXACT as f64),
                Value::str("9007199254740993"),
            ]))
        );
        let refused = from_value::<(u8, u8)>(&Value::List(vec![Value::Num(1.0); 3]));
        assert!(refused.is_err(), "none is left over");
        let refused = from_value::<u8>(&Value::Num(256.0))
            .unwrap_err()
            .to_string();
        assert!(
            refused.contains("256") && refused.contains("u8"),
            "{refused}"
        );
        let refused = from_value::<Shape>(&Value::str("Unti"))
            .unwrap_err()
            .to_string();
        assert!(
            refused.contains("`Unti`") && refused.contains("`Unit`"),
            "{refused}"
        );
    }
}
