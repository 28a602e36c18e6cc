//! Query strings: every parameter is known, given once, and within its bounds; else the answer names each fault.
//!
//! The struct that a request's parameters are read into is the one that describes them.

use std::cell::Cell;

use axum::extract::{Path, Query, rejection::PathRejection};
use http::Uri;
use schemas::problem::{Fault, ProblemKind};
use serde::de::{
    self, DeserializeOwned, DeserializeSeed, Deserializer, MapAccess, Visitor,
    value::{BorrowedStrDeserializer, Error},
};
use utoipa::IntoParams;

use edge::api_error::ApiError;

/// Most faults that one answer names.
const MAX_FAULTS: usize = 20;

/// The id in a path, if one of 1 to that many bytes can be stored.
pub(super) fn id_in_path(id: Result<Path<String>, PathRejection>, most: usize) -> Result<String, ApiError> {
    let storable = |id: &String| (1..=most).contains(&id.len()) && !id.contains('\0');
    id.ok().map(|Path(id)| id).filter(storable).ok_or_else(ApiError::not_found)
}

/// The parameters of one request. Structs take theirs one after the other; [`Parameters::finish`] then
/// reports what was wrong.
#[derive(Debug)]
pub(super) struct Parameters {
    given: Vec<(String, String)>,
    faults: Vec<Fault>,
}

impl Parameters {
    /// The parameters of the request's address.
    pub(super) fn of(uri: &Uri) -> Self {
        match Query::<Vec<(String, String)>>::try_from_uri(uri) {
            Ok(Query(given)) => Self { given, faults: Vec::new() },
            Err(_) => Self { given: Vec::new(), faults: vec![fault("?", "this is not a query string")] },
        }
    }

    /// Reads the address's parameters into one struct, which knows all of them.
    pub(super) fn only<T: DeserializeOwned + IntoParams>(uri: &Uri) -> Result<T, ApiError> {
        let mut given = Self::of(uri);
        let taken = given.take();
        given.finish()?;
        Ok(taken)
    }

    /// Reads the struct's parameters, all of which must be optional. What is faulty is noted and counts as absent.
    pub(super) fn take<T: DeserializeOwned + IntoParams>(&mut self) -> T {
        let names: Vec<String> =
            T::into_params(|| None).into_iter().map(|parameter| parameter.name).collect();
        let (mut mine, rest) = std::mem::take(&mut self.given)
            .into_iter()
            .partition::<Vec<_>, _>(|(name, _)| names.contains(name));
        self.given = rest;
        for name in &names {
            if mine.iter().filter(|(given, _)| given == name).count() > 1 {
                mine.retain(|(given, _)| given != name);
                self.refuse(name, "given more than once");
            }
        }
        loop {
            let current = Cell::new(None);
            match T::deserialize(Pairs { rest: mine.iter(), value: "", current: &current }) {
                Ok(taken) => return taken,
                Err(why) => {
                    let name = current.get().expect("every field may be absent: only a value can be faulty");
                    self.faults.push(fault(name, &why.to_string()));
                    let name = name.to_owned();
                    mine.retain(|(given, _)| *given != name);
                }
            }
        }
    }

    /// Adds parameters that are not given.
    pub(super) fn add_missing(&mut self, others: impl IntoIterator<Item = (String, String)>) {
        let missing = |(name, _): &(String, String)| self.given.iter().all(|(given, _)| given != name);
        let missing: Vec<_> = others.into_iter().filter(missing).collect();
        self.given.extend(missing);
    }

    /// Notes that a parameter cannot be taken.
    pub(super) fn refuse(&mut self, name: &str, why: &str) {
        self.faults.push(fault(name, why));
    }

    /// Fails if anything was wrong or is left over.
    pub(super) fn finish(mut self) -> Result<(), ApiError> {
        for (name, _) in self.given.iter().take(MAX_FAULTS) {
            self.faults.push(fault(name, "unknown here"));
        }
        let Some(first) = self.faults.first() else { return Ok(()) };
        let detail = format!("{}: {}", first.at, first.detail);
        self.faults.truncate(MAX_FAULTS);
        Err(ApiError::new(ProblemKind::InvalidQuery, detail).with_errors(self.faults))
    }
}

fn fault(name: &str, why: &str) -> Fault {
    let at = schemas::problem::printable(name).chars().take(80).collect();
    Fault { at, detail: schemas::problem::printable(why).chars().take(400).collect() }
}

/// Pairs of a query string as a struct's fields; remembers which one it is at.
struct Pairs<'de> {
    rest: std::slice::Iter<'de, (String, String)>,
    value: &'de str,
    current: &'de Cell<Option<&'de str>>,
}

impl<'de> Deserializer<'de> for Pairs<'de> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_map(self)
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

impl<'de> MapAccess<'de> for Pairs<'de> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Error> {
        let Some((name, value)) = self.rest.next() else { return Ok(None) };
        self.current.set(Some(name));
        self.value = value;
        seed.deserialize(BorrowedStrDeserializer::new(name)).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Error> {
        seed.deserialize(Value(self.value))
    }
}

/// One value: a text, or a number written as one.
struct Value<'de>(&'de str);

impl<'de> Deserializer<'de> for Value<'de> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_borrowed_str(self.0)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_u16<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let number = self.0.parse().map_err(|_| de::Error::custom("must be a whole number"))?;
        visitor.visit_u16(number)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        let value = BorrowedStrDeserializer::<Error>::new(self.0);
        let expected = |_| de::Error::custom(format!("must be one of {}", variants.join(", ")));
        value.deserialize_enum(name, variants, visitor).map_err(expected)
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple
        tuple_struct map struct identifier ignored_any
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Default, PartialEq, Deserialize, IntoParams)]
    #[serde(default)]
    struct Asked {
        #[serde(deserialize_with = "crate::read_models::parameters::text")]
        actor: Option<String>,
        #[serde(deserialize_with = "crate::read_models::parameters::instant")]
        #[param(value_type = Option<String>)]
        from: Option<schemas::Timestamp>,
        #[param(inline)]
        color: Option<Color>,
        n: Option<u16>,
    }

    #[derive(Debug, PartialEq, Deserialize, utoipa::ToSchema)]
    #[serde(rename_all = "snake_case")]
    enum Color {
        DarkRed,
        Blue,
    }

    fn uri(query: &str) -> Uri {
        format!("/x?{query}").parse().expect("an address")
    }

    /// The parameters that were faulty, in order.
    fn check(query: &str, faulty: &[&str]) {
        let mut parameters = Parameters::of(&uri(query));
        parameters.take::<Asked>();
        let found: Vec<_> = parameters.finish().err().map_or(vec![], |refusal| {
            assert_eq!(refusal.problem().slug(), "invalid-query");
            refusal.problem().errors.iter().map(|fault| fault.at.clone()).collect()
        });
        assert_eq!(found, faulty, "{query}");
    }

    #[test]
    fn each_fault_is_named() {
        check("", &[]);
        check("actor=a%20b&from=2026-01-31T10:00:00Z&n=7&color=dark_red", &[]);
        check("actor=%27%20OR%201%3D1--", &[]);
        check("actor=", &["actor"]);
        check("actor=a&actor=b", &["actor"]);
        check("actor=a%00", &["actor"]);
        check(&format!("actor={}", "x".repeat(1025)), &["actor"]);
        check(&format!("actor={}", "%C3%A4".repeat(1024)), &[]);
        check("from=2026-01-31T10:00:00&n=-1", &["from", "n"]);
        check("from=yesterday&sort=pg_sleep(5)", &["from", "sort"]);
        check("color=DarkRed&n=65536&n=1&actor=", &["n", "color", "actor"]);
        check("Actor=a", &["Actor"]);
    }

    #[test]
    fn what_is_right_is_taken() {
        let mut parameters = Parameters::of(&uri("n=7&color=blue&actor=a%26b"));
        let expected = Asked { actor: Some("a&b".into()), color: Some(Color::Blue), n: Some(7), from: None };
        assert_eq!(parameters.take::<Asked>(), expected);
        parameters.finish().expect("nothing was wrong");
    }

    #[test]
    fn a_stranger_cannot_make_the_answer_long() {
        let many: Vec<_> = (0..200).map(|n| format!("{}{n}=1", "x".repeat(200))).collect();
        let error = Parameters::of(&uri(&many.join("&"))).finish().expect_err("all unknown");
        assert_eq!(error.problem().errors.len(), MAX_FAULTS);
        assert!(error.problem().errors.iter().all(|fault| fault.at.len() <= 80));
    }
}
