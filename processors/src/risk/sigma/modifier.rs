//! Modifiers of a field, in the order in which they apply.

/// A modifier of the specification.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Modifier {
    All,
    StartsWith,
    EndsWith,
    Contains,
    Exists,
    Cased,
    NotEqual,
    WinDash,
    Regex,
    IgnoreCase,
    MultiLine,
    DotAll,
    Base64,
    Base64Offset,
    Utf16Le,
    Utf16Be,
    Utf16,
    Compare(Comparison),
    Time(TimePart),
    Cidr,
    Expand,
    FieldRef,
}

/// Comparison of two numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Comparison {
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Equal,
}

/// A part of a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TimePart {
    Minute,
    Hour,
    Day,
    Week,
    Month,
    Year,
}

impl Modifier {
    fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "all" => Self::All,
            "startswith" => Self::StartsWith,
            "endswith" => Self::EndsWith,
            "contains" => Self::Contains,
            "exists" => Self::Exists,
            "cased" => Self::Cased,
            "neq" => Self::NotEqual,
            "windash" => Self::WinDash,
            "re" => Self::Regex,
            "i" | "ignorecase" => Self::IgnoreCase,
            "m" | "multiline" => Self::MultiLine,
            "s" | "dotall" => Self::DotAll,
            "base64" => Self::Base64,
            "base64offset" => Self::Base64Offset,
            "utf16le" | "wide" => Self::Utf16Le,
            "utf16be" => Self::Utf16Be,
            "utf16" => Self::Utf16,
            "lt" => Self::Compare(Comparison::Less),
            "lte" => Self::Compare(Comparison::LessOrEqual),
            "gt" => Self::Compare(Comparison::Greater),
            "gte" => Self::Compare(Comparison::GreaterOrEqual),
            "minute" => Self::Time(TimePart::Minute),
            "hour" => Self::Time(TimePart::Hour),
            "day" => Self::Time(TimePart::Day),
            "week" => Self::Time(TimePart::Week),
            "month" => Self::Time(TimePart::Month),
            "year" => Self::Time(TimePart::Year),
            "cidr" => Self::Cidr,
            "expand" => Self::Expand,
            "fieldref" => Self::FieldRef,
            _ => return None,
        })
    }

    /// The modifier's kind of comparison, if it has one; few other modifiers are allowed beside it.
    fn kind(self) -> Option<Kind> {
        match self {
            Self::Regex => Some(Kind::Regex),
            Self::Cidr => Some(Kind::Cidr),
            Self::Exists => Some(Kind::Exists),
            Self::FieldRef => Some(Kind::FieldRef),
            Self::Compare(_) | Self::Time(_) => Some(Kind::Number),
            _ => None,
        }
    }
}

/// Kind of comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// As text, or by type.
    Plain,
    Regex,
    Cidr,
    Exists,
    FieldRef,
    Number,
}

/// A key of a selection: `field|modifier|modifier`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Key<'k> {
    /// The field; `None` if the values may be anywhere in the event.
    pub(super) field: Option<&'k str>,
    pub(super) modifiers: Vec<Modifier>,
    pub(super) kind: Kind,
}

impl<'k> Key<'k> {
    /// Parses a key. Fails if a modifier is unknown or conflicts with the others, with the reason.
    pub(super) fn parse(written: &'k str) -> Result<Self, String> {
        let mut parts = written.split('|');
        let field = parts.next().unwrap_or_default();
        let modifiers: Vec<(&str, Modifier)> = parts
            .map(|name| {
                let known = Modifier::from_name(name).map(|modifier| (name, modifier));
                known.ok_or_else(|| format!("{name:?} is no modifier of Sigma 2.1"))
            })
            .collect::<Result<_, _>>()?;
        let kind = modifiers.iter().find_map(|(_, modifier)| modifier.kind()).unwrap_or(Kind::Plain);
        for (at, (name, modifier)) in modifiers.iter().enumerate() {
            let before: Vec<Modifier> = modifiers[..at].iter().map(|(_, modifier)| *modifier).collect();
            if let Some(reason) = misplaced(*modifier, kind, &before) {
                return Err(format!("the modifier {name:?} {reason}"));
            }
        }
        let key = Self {
            field: (!field.is_empty()).then_some(field),
            modifiers: modifiers.into_iter().map(|(_, modifier)| modifier).collect(),
            kind,
        };
        if key.has(Modifier::All) && key.has(Modifier::NotEqual) {
            return Err("\"all\" and \"neq\" together have no meaning in Sigma 2.1".to_owned());
        }
        if key.field.is_none() && !matches!(kind, Kind::Plain | Kind::Regex) {
            return Err("keywords are texts or regular expressions; this modifier needs a field".to_owned());
        }
        if key.field.is_none() && key.has(Modifier::NotEqual) {
            return Err("\"neq\" needs a field".to_owned());
        }
        Ok(key)
    }

    pub(super) fn has(&self, modifier: Modifier) -> bool {
        self.modifiers.contains(&modifier)
    }
}

/// The reason why the modifier is not allowed at its position, if so.
fn misplaced(modifier: Modifier, kind: Kind, before: &[Modifier]) -> Option<&'static str> {
    let after = |other: Modifier| before.contains(&other);
    match modifier {
        Modifier::All => (kind == Kind::Exists).then_some("has no meaning beside \"exists\""),
        Modifier::NotEqual => match kind {
            Kind::Plain | Kind::Cidr | Kind::Regex | Kind::FieldRef => None,
            Kind::Exists => Some("has no meaning beside \"exists\""),
            Kind::Number => before
                .iter()
                .any(|other| matches!(other, Modifier::Compare(_)))
                .then_some("is one comparison too many"),
        },
        Modifier::IgnoreCase | Modifier::MultiLine | Modifier::DotAll => {
            (!after(Modifier::Regex)).then_some("belongs behind \"re\"")
        }
        Modifier::StartsWith | Modifier::EndsWith | Modifier::Contains => match kind {
            Kind::Plain => None,
            Kind::FieldRef if after(Modifier::FieldRef) => None,
            Kind::FieldRef => Some("belongs behind \"fieldref\""),
            Kind::Regex => {
                Some("has no meaning beside \"re\": a pattern is found anywhere, unless ^ or $ say where")
            }
            _ => Some("is for texts"),
        },
        Modifier::Cased => match kind {
            Kind::Plain | Kind::FieldRef => None,
            Kind::Regex => Some("has no meaning beside \"re\", which minds case unless \"i\" follows"),
            _ => Some("is for texts"),
        },
        Modifier::WinDash
        | Modifier::Base64
        | Modifier::Base64Offset
        | Modifier::Utf16Le
        | Modifier::Utf16Be
        | Modifier::Utf16 => (kind != Kind::Plain).then_some("is for texts"),
        Modifier::Expand => match kind {
            Kind::Plain | Kind::Cidr if !before.iter().any(|other| encodes(*other)) => None,
            Kind::Plain | Kind::Cidr => Some("must stand before what encodes the value"),
            _ => Some("is for texts and networks"),
        },
        Modifier::Compare(_) | Modifier::Time(_) => {
            let another = before.iter().any(|other| match modifier {
                Modifier::Compare(_) => matches!(other, Modifier::Compare(_) | Modifier::NotEqual),
                _ => matches!(other, Modifier::Time(_) | Modifier::Compare(_) | Modifier::NotEqual),
            });
            match kind {
                Kind::Number if another => Some("is one comparison too many"),
                Kind::Number => None,
                _ => Some("is for numbers"),
            }
        }
        Modifier::Regex | Modifier::Cidr | Modifier::Exists | Modifier::FieldRef => {
            (modifier.kind() != Some(kind)).then_some("says another type than the modifier before it")
        }
    }
}

fn encodes(modifier: Modifier) -> bool {
    matches!(
        modifier,
        Modifier::Base64
            | Modifier::Base64Offset
            | Modifier::Utf16Le
            | Modifier::Utf16Be
            | Modifier::Utf16
            | Modifier::WinDash
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modifiers_stand_only_where_they_mean_something() {
        for good in [
            "a",
            "a|contains|all",
            "a|all",
            "a|re|i|m|s",
            "a|cidr|neq",
            "a|hour|gte",
            "a|hour|neq",
            "a|neq|cased",
            "a|fieldref|startswith|cased",
            "a|fieldref|neq",
            "a|wide|base64offset|contains",
            "|all",
            "|contains|all",
            "|re|i",
            "a|expand|contains",
            "a|contains|expand",
            "a|cidr|expand",
            "a|windash|contains|all",
        ] {
            assert!(Key::parse(good).is_ok(), "{good}: {:?}", Key::parse(good));
        }
        for wrong in [
            "a|frobnicate",
            "a|i",
            "a|contains|i",
            "a|re|contains",
            "a|re|cased",
            "a|contains|fieldref",
            "a|lt|gt",
            "a|lt|cidr",
            "a|exists|all",
            "a|exists|neq",
            "a|cidr|contains",
            "a|base64|expand",
            "a|all|neq",
            "a|lt|neq",
            "a|contains|lt",
            "|exists",
            "|cidr",
            "|neq",
            "|fieldref",
            "a|",
            "a|re|base64",
            "a|lt|hour",
            "a|not",
        ] {
            assert!(Key::parse(wrong).is_err(), "{wrong}");
        }
    }
}
