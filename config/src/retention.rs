//! How long and how much accounts keep: `store.retention` and `store.account_retention`.
//!
//! Called by `check`; the types go to the daemon, which tells the store. A limit is an age
//! (`90d`), a size (`500GiB`), or both with a space between; an empty text is no limit.

use std::collections::HashMap;
use std::ops::RangeInclusive;
use std::time::Duration;

use reeld_model::AccountSid;

use crate::layer::Value;
use crate::value::{self, Reason, bad};

/// Ages that can be asked for: up to a hundred years.
const AGES: RangeInclusive<Duration> =
    Duration::from_secs(1)..=Duration::from_secs(100 * 366 * 86_400);

/// How much an account keeps; no limit where there is none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Limits {
    /// How long after its beginning a recording stays.
    pub age: Option<Duration>,
    /// Bytes of media.
    pub bytes: Option<u64>,
}

/// A limit as it is written.
pub(crate) fn limits(value: &Value) -> Result<Limits, Reason> {
    let text = value::text(value, EXPECTED)?;
    let mut limits = Limits::default();
    for word in text.split_whitespace() {
        let one = Value::Text(word.to_owned());
        // Each begins with a number, and no unit of the one is the other's.
        if humantime::parse_duration(word).is_ok() {
            let age = value::duration(&one, AGES)?;
            if limits.age.replace(age).is_some() {
                return Err(bad(format!("{text:?} has two ages")));
            }
        } else if let Ok(bytes) = value::size(&one, 0..=u64::MAX) {
            if limits.bytes.replace(bytes).is_some() {
                return Err(bad(format!("{text:?} has two sizes")));
            }
        } else {
            return Err(bad(format!("expected {EXPECTED}, found {text:?}")));
        }
    }
    Ok(limits)
}

/// Limits of single accounts: `AC…=30d 10GiB`, nothing behind the `=` for none.
pub(crate) fn of_accounts(value: &Value) -> Result<HashMap<AccountSid, Limits>, Reason> {
    let Value::List(entries) = value else {
        return Err(bad(format!("expected an array of {ENTRY}")));
    };
    let mut accounts = HashMap::new();
    for entry in entries {
        let Some((sid, rest)) = entry.split_once('=') else {
            return Err(bad(format!("expected {ENTRY}, found {entry:?}")));
        };
        let sid = value::account(&Value::Text(sid.trim().to_owned()))?;
        let limits = limits(&Value::Text(rest.to_owned()))?;
        if accounts.insert(sid, limits).is_some() {
            return Err(bad(format!("{sid} is there twice")));
        }
    }
    Ok(accounts)
}

const EXPECTED: &str = r#"an age, a size or both, such as "90d 500GiB""#;
const ENTRY: &str = r#"entries such as "AC…=30d 10GiB""#;

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Value {
        Value::Text(text.to_owned())
    }

    #[test]
    fn an_age_and_a_size_are_told_apart() {
        let day = Duration::from_secs(86_400);
        let both = |age, bytes| Limits { age, bytes };
        for (written, wanted) in [
            ("", both(None, None)),
            ("90d", both(Some(day * 90), None)),
            ("500GiB", both(None, Some(500 << 30))),
            ("10MiB 12h", both(Some(day / 2), Some(10 << 20))),
            ("0B", both(None, Some(0))),
        ] {
            assert_eq!(limits(&text(written)).unwrap(), wanted, "{written}");
        }
        for wrong in ["90", "90x", "1d 2d", "1MiB 2MiB", "90d,1GiB", "0s", "-1d"] {
            if wrong == "90" {
                // A bare number is a size in bytes, as everywhere.
                assert_eq!(limits(&text(wrong)).unwrap(), both(None, Some(90)));
            } else {
                assert!(limits(&text(wrong)).is_err(), "{wrong}");
            }
        }
    }

    #[test]
    fn accounts_have_their_own() {
        let sid = "AC00000000000000000000000000000001";
        let list = |entries: &[String]| Value::List(entries.to_vec());
        let one = of_accounts(&list(&[format!("{sid}=30d")])).unwrap();
        let account: AccountSid = sid.parse().unwrap();
        assert_eq!(one[&account].age, Some(Duration::from_secs(30 * 86_400)));
        let none = of_accounts(&list(&[format!("{sid}=")])).unwrap();
        assert_eq!(none[&account], Limits::default());
        for wrong in [
            vec![sid.to_owned()],
            vec!["AC1=30d".to_owned()],
            vec![format!("{sid}=1d"), format!("{sid}=2d")],
        ] {
            assert!(of_accounts(&list(&wrong)).is_err(), "{wrong:?}");
        }
    }
}
