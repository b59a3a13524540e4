use std::collections::BTreeMap;
use std::fmt::Write;

use proptest::prelude::*;
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

use super::super::pointer::{Node, Pointer};
use super::*;

fn form(document: impl AsRef<[u8]>) -> Option<Vec<u8>> {
    canonical(document.as_ref(), Numbers::ByValue, Some(View::default()), &[7; 32])
}

fn viewed(document: &str, include: &[&str], exclude: &[&str]) -> Vec<u8> {
    let parse = |texts: &[&str]| -> Vec<Pointer> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    };
    let (include, exclude) = (parse(include), parse(exclude));
    let tree = |pointers| (!<[Pointer]>::is_empty(pointers)).then(|| Node::tree(pointers));
    let (include, exclude) = (tree(&include), tree(&exclude));
    let view = View::new(include.as_ref(), exclude.as_ref());
    canonical(document.as_bytes(), Numbers::ByValue, view, &[7; 32]).unwrap()
}

#[test]
fn spelling_does_not_count() {
    for (one, other) in [
        (r#"{"a":1,"b":[true,null]}"#, "\t{ \"b\" : [ true , null ] ,\r\n \"a\" : 10e-1 } "),
        (r#"{"é":"/"}"#, r#"{"\u00e9":"\/"}"#),
        (r#""😀\n""#, r#""\ud83d\ude00\u000a""#),
        ("-0", "0"),
    ] {
        assert_eq!(form(one).unwrap(), form(other).unwrap(), "{one}");
    }
}

#[test]
fn values_count() {
    let documents = [
        "1",
        "\"1\"",
        "[1]",
        "[[1]]",
        "[1,1]",
        "[1,2]",
        "[2,1]",
        "[]",
        "{}",
        "[[],[]]",
        "[[[]]]",
        "null",
        "false",
        "true",
        "\"\"",
        "\"null\"",
        "100000000000000000001",
        "100000000000000000000",
        "9007199254740993",
        "9007199254740992",
        r#"{"a":null}"#,
        r#"{"a":{}}"#,
        r#"{"a":[],"b":[]}"#,
        r#"{"a":[{"b":[]}]}"#,
        // é composed and decomposed: no Unicode normalisation.
        "\"\u{e9}\"",
        "\"e\u{301}\"",
    ];
    for (n, one) in documents.iter().enumerate() {
        for other in &documents[n + 1..] {
            assert_ne!(form(one).unwrap(), form(other).unwrap(), "{one} {other}");
        }
    }
}

#[test]
fn what_readers_disagree_about_has_no_form() {
    for document in [
        r#"{"a":1,"a":1}"#,
        r#"{"a":1,"b":2,"\u0061":1}"#,
        r#"[{"b":{"a":1,"":0,"a":2}}]"#,
        r#""\ud800""#,
        r#""\udc00""#,
        r#""\ud800\u0041""#,
        r#""\ud800x\udc00""#,
        "",
        " ",
        "\u{feff}1",
        "1 2",
        "[1,]",
        "{\"a\":1,}",
        "{a:1}",
        "'a'",
        "\"a\tb\"",
        "nul",
        "nullx",
        "NaN",
        "01",
        "[",
        "\"",
        "\"\\",
        "\"\\u12",
        "\"\\x\"",
        "{\"a\"",
        "{\"a\":",
        "// no\n1",
    ] {
        assert_eq!(form(document), None, "{document}");
    }
    assert_eq!(form(b"\"\xff\""), None);
    assert_eq!(form(b"\"\xed\xa0\x80\""), None);
}

#[test]
fn nesting_has_a_bound_and_overflows_nothing() {
    let nested = |open: &str, close: &str, n| format!("{}1{}", open.repeat(n), close.repeat(n));
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        assert!(form(nested(open, close, 128)).is_some());
        assert!(form(nested(open, close, 129)).is_none());
        assert!(form(open.repeat(1_000_000)).is_none());
    }
}

#[test]
fn numbers_can_count_by_spelling() {
    let spelled = |document: &str| {
        canonical(document.as_bytes(), Numbers::BySpelling, Some(View::default()), &[7; 32])
    };
    assert_ne!(spelled("[1]"), spelled("[1.0]"));
    assert_eq!(spelled(r#"{"a":1.0,"b":2}"#), spelled(r#"{"b":2, "a":1.0}"#));
}

#[test]
fn large_objects_are_hashed_and_still_compared_by_value() {
    let large = |last: u32, up: bool| {
        let mut members: Vec<String> = (0..300).map(|n| format!("\"{n}\":{n}")).collect();
        members.push(format!("\"last\":{last}"));
        if up {
            members.reverse();
        }
        format!("[{{\"outer\":{{{}}},\"a\":0}}]", members.join(","))
    };
    let first = form(large(1, true)).unwrap();
    assert!(first.len() < 100, "the object of 300 members stands as its hash");
    assert_eq!(first, form(large(1, false)).unwrap());
    assert_ne!(first, form(large(2, true)).unwrap());
}

#[test]
fn fields_can_be_left_out() {
    let left = |document: &str, exclude: &str| viewed(document, &[], &[exclude]);
    assert_eq!(left(r#"{"a":1,"at":5}"#, "/at"), left(r#"{"a":1}"#, "/at"));
    assert_eq!(left(r#"{"a":1,"at":5}"#, "/at"), left(r#"{"at":[6],"a":1}"#, "/at"));
    assert_ne!(left(r#"{"a":1,"at":5}"#, "/at"), left(r#"{"a":2,"at":5}"#, "/at"));
    assert_eq!(left(r#"{"a/b":1}"#, "/a~1b"), left("{}", "/a~1b"));
    assert_eq!(left(r#"{"~1":1}"#, "/~01"), left("{}", "/~01"));
    assert_ne!(left(r#"{"/":1}"#, "/~01"), left("{}", "/~01"));
    assert_eq!(left("[1,2,3]", "/1"), left("[1,9,3]", "/1"));
    assert_ne!(left("[1,2,3]", "/1"), left("[1,3]", "/1"));
    assert_ne!(left("[1,2,3]", "/01"), left("[1,9,3]", "/01"), "01 is no index");
    assert_eq!(left("[1]", ""), left("{}", ""));
    let deep = |at| format!(r#"{{"a":[{{"at":{at},"b":1}}]}}"#);
    assert_eq!(left(&deep(1), "/a/0/at"), left(&deep(2), "/a/0/at"));
    assert_ne!(left(&deep(1), "/a/1/at"), left(&deep(2), "/a/1/at"));
}

#[test]
fn fields_can_be_the_only_ones() {
    let only = |document: &str, include: &str| viewed(document, &[include], &[]);
    assert_eq!(only(r#"{"a":1,"b":2}"#, "/a"), only(r#"{"b":3,"a":1.0}"#, "/a"));
    assert_ne!(only(r#"{"a":1}"#, "/a"), only(r#"{"a":2}"#, "/a"));
    assert_ne!(only(r#"{"a":null}"#, "/a"), only("{}", "/a"));
    for nothing in ["{}", r#"{"a":5}"#, r#"{"a":{}}"#, r#"{"a":[]}"#, r#"{"a":{"c":1}}"#, "7"] {
        assert_eq!(only(nothing, "/a/b"), b"", "{nothing}");
    }
    assert_eq!(only("[1,2,3]", "/1"), only("[0,2]", "/1"));
    assert_eq!(only("[1, 2]", ""), form("[1,2]").unwrap());
    let two = |document| viewed(document, &["/0/p", "/1/p"], &[]);
    assert_ne!(two(r#"[{"p":1},{}]"#), two(r#"[{},{"p":1}]"#));
    let both = |document| viewed(document, &["/a"], &["/a/at"]);
    assert_eq!(both(r#"{"a":{"at":1,"b":2},"c":3}"#), both(r#"{"a":{"at":2,"b":2}}"#));
    assert_ne!(both(r#"{"a":{"at":1,"b":2}}"#), both(r#"{"a":{"at":1,"b":3}}"#));
}

#[test]
fn what_is_left_out_must_be_well_formed_too() {
    let pointer = ["/a".parse::<Pointer>().unwrap()];
    let tree = Node::tree(&pointer);
    for document in [r#"{"a":1,"a":2}"#, r#"{"a":[1,]}"#, r#"{"a":{"b":1,"b":1}}"#] {
        let view = View::new(None, Some(&tree));
        assert_eq!(canonical(document.as_bytes(), Numbers::ByValue, view, &[7; 32]), None);
    }
}

/// A value as a model: numbers are a mantissa without trailing zeros and an exponent.
#[derive(Clone, Debug, PartialEq)]
enum Model {
    Null,
    Bool(bool),
    Number(i64, i32),
    Text(String),
    Array(Vec<Model>),
    Object(BTreeMap<String, Model>),
}

fn number() -> impl Strategy<Value = Model> {
    let mantissa = prop_oneof![-3_i64..4, any::<i64>()];
    (mantissa, -20_i32..20).prop_map(|(mut mantissa, mut exponent)| {
        if mantissa == 0 {
            return Model::Number(0, 0);
        }
        while mantissa % 10 == 0 {
            mantissa /= 10;
            exponent += 1;
        }
        Model::Number(mantissa, exponent)
    })
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof!["[ab]{0,2}", "[\\PC\u{0}\"\\\\/\n\u{7f}]{0,6}"]
}

fn model() -> impl Strategy<Value = Model> {
    let leaf = prop_oneof![
        Just(Model::Null),
        any::<bool>().prop_map(Model::Bool),
        number(),
        text().prop_map(Model::Text),
    ];
    leaf.prop_recursive(4, 24, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Model::Array),
            prop::collection::btree_map(text(), inner, 0..5).prop_map(Model::Object),
        ]
    })
}

/// Choices of a writer who spells as he likes.
struct Whim(u64);

impl Whim {
    fn pick(&mut self, n: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % n
    }

    fn space(&mut self, out: &mut String) {
        for _ in 0..self.pick(3) {
            out.push([' ', '\t', '\n', '\r'][self.pick(4) as usize]);
        }
    }

    fn text(&mut self, text: &str, out: &mut String) {
        out.push('"');
        for c in text.chars() {
            match (c, self.pick(4)) {
                ('"' | '\\', 1..) | ('/', 1) => out.extend(['\\', c]),
                ('\n', 1..) => out.push_str("\\n"),
                ('\0'..='\x1f' | '"' | '\\', _) | (_, 0) => {
                    for unit in c.encode_utf16(&mut [0; 2]) {
                        write!(out, "\\u{unit:04X}").unwrap();
                    }
                }
                _ => out.push(c),
            }
        }
        out.push('"');
    }

    fn value(&mut self, value: &Model, out: &mut String) {
        self.space(out);
        match value {
            Model::Null => out.push_str("null"),
            Model::Bool(b) => write!(out, "{b}").unwrap(),
            Model::Number(mantissa, exponent) => {
                let zeros = self.pick(4) as usize;
                let shifted = exponent - zeros as i32;
                let e =
                    ["e", "E", "e+", "E+0"][self.pick(if shifted < 0 { 2 } else { 4 }) as usize];
                write!(
                    out,
                    "{mantissa}{}{e}{shifted}",
                    "0".repeat(zeros * (*mantissa != 0) as usize)
                )
                .unwrap();
            }
            Model::Text(text) => self.text(text, out),
            Model::Array(items) => {
                out.push('[');
                for (n, item) in items.iter().enumerate() {
                    out.push_str(if n == 0 { "" } else { "," });
                    self.value(item, out);
                }
                out.push(']');
            }
            Model::Object(members) => {
                let mut members: Vec<_> = members.iter().collect();
                for n in 1..members.len() {
                    let other = self.pick(n as u64 + 1) as usize;
                    members.swap(n, other);
                }
                out.push('{');
                for (n, (name, member)) in members.into_iter().enumerate() {
                    out.push_str(if n == 0 { "" } else { "," });
                    self.space(out);
                    self.text(name, out);
                    self.space(out);
                    out.push(':');
                    self.value(member, out);
                }
                out.push('}');
            }
        }
        self.space(out);
    }
}

fn spell(model: &Model, whim: u64) -> String {
    let mut out = String::new();
    Whim(whim).value(model, &mut out);
    out
}

/// Reads any document, and says whether a name is doubled somewhere.
struct Doubled(bool);

impl<'de> Deserialize<'de> for Doubled {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Look;
        impl<'de> Visitor<'de> for Look {
            type Value = Doubled;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a document")
            }
            fn visit_unit<E>(self) -> Result<Doubled, E> {
                Ok(Doubled(false))
            }
            fn visit_bool<E>(self, _: bool) -> Result<Doubled, E> {
                Ok(Doubled(false))
            }
            fn visit_i64<E>(self, _: i64) -> Result<Doubled, E> {
                Ok(Doubled(false))
            }
            fn visit_u64<E>(self, _: u64) -> Result<Doubled, E> {
                Ok(Doubled(false))
            }
            fn visit_f64<E>(self, _: f64) -> Result<Doubled, E> {
                Ok(Doubled(false))
            }
            fn visit_str<E>(self, _: &str) -> Result<Doubled, E> {
                Ok(Doubled(false))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Doubled, A::Error> {
                let mut doubled = false;
                while let Some(Doubled(inside)) = items.next_element()? {
                    doubled |= inside;
                }
                Ok(Doubled(doubled))
            }
            fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Doubled, A::Error> {
                let (mut names, mut doubled) = (Vec::<String>::new(), false);
                while let Some((name, Doubled(inside))) = members.next_entry()? {
                    doubled |= inside || names.contains(&name);
                    names.push(name);
                }
                Ok(Doubled(doubled))
            }
        }
        deserializer.deserialize_any(Look)
    }
}

/// That this parser and serde_json agree on which documents there are, but for doubled names.
fn agree(document: &[u8]) -> Result<(), TestCaseError> {
    let accepted = match serde_json::from_slice::<Doubled>(document) {
        Ok(Doubled(doubled)) => !doubled,
        // A number over the range of a double: legal, and beyond that reader.
        Err(error) if error.to_string().contains("out of range") => return Ok(()),
        Err(_) => false,
    };
    let text = String::from_utf8_lossy(document);
    prop_assert_eq!(form(document).is_some(), accepted, "{}", text);
    Ok(())
}

proptest! {
    #[test]
    fn one_value_has_one_form(model in model(), one: u64, other: u64) {
        let (one, other) = (spell(&model, one), spell(&model, other));
        prop_assert_eq!(form(&one).unwrap(), form(&other).unwrap(), "{} {}", one, other);
        serde_json::from_str::<serde_json::Value>(&one).unwrap();
    }

    #[test]
    fn two_values_have_two_forms(one in model(), other in model(), whim: u64) {
        let equal = form(spell(&one, whim)).unwrap() == form(spell(&other, !whim)).unwrap();
        prop_assert_eq!(equal, one == other);
    }

    #[test]
    fn the_same_documents_are_accepted_as_elsewhere(
        model in model(), whim: u64, at: prop::sample::Index, cut in 0_usize..3,
        put in prop::collection::vec(prop_oneof![
            prop::sample::select(&b"{}[]\",:\\u0deE+-.1tfn \n"[..]), any::<u8>(),
        ], 0..3),
    ) {
        let mut document = spell(&model, whim).into_bytes();
        agree(&document)?;
        let from = at.index(document.len());
        let to = document.len().min(from + cut);
        document.splice(from..to, put);
        agree(&document)?;
    }

    #[test]
    fn the_same_scraps_are_accepted_as_elsewhere(
        scrap in "[\\[\\]{}\",:01eE.+\\-]{0,8}", name in r#"(\\[u"ndD8cC0]{0,7}|a|\\u0061){0,4}"#,
    ) {
        agree(scrap.as_bytes())?;
        agree(format!("\"{name}\"").as_bytes())?;
        agree(format!("{{\"{name}\":1,\"a\":2}}").as_bytes())?;
    }
}
