//! An account as a document: what SDKs ask to see whether credentials work. No token in it.
//!
//! Called by `dispatch`.

use reeld_store::Account;

use crate::document::{Document, Field, Value};
use crate::face::Version;
use crate::path::{Resource, path_of};

/// The fields of twilio.md §1 (2008) and of today's Account that reeld has.
pub(crate) fn document(account: &Account) -> Document {
    let uri = path_of(Version::V2010, account.sid, &Resource::Account);
    Document {
        name: "Account",
        fields: vec![
            Field::seed("Sid", Value::Text(account.sid.to_string())),
            Field::seed("FriendlyName", Value::Text(account.name.clone())),
            Field::new("OwnerAccountSid", Value::Text(account.sid.to_string())),
            Field::new("Type", Value::Text("Full".into())),
            Field::old("Status", Value::Number(2)),
            Field::old("StatusText", Value::Text("Active".into())),
            Field::new("Status", Value::Text("active".into())),
            Field::seed("DateCreated", Value::Date(account.created_ms)),
            Field::seed("DateUpdated", Value::Date(account.created_ms)),
            // Old SDKs fail where it is missing (twilio.md §0.3).
            Field::new("AuthToken", Value::Null),
            Field::new("Uri", Value::Uri(uri.clone())),
            Field::new(
                "SubresourceUris",
                Value::Group(
                    ["Calls", "Recordings"]
                        .map(|name| Field::new(name, Value::Uri(format!("{uri}/{name}"))))
                        .into(),
                ),
            ),
        ],
    }
}
