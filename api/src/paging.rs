//! Where a page is in its list, and the links to the others.
//!
//! Called by `recordings` and `dispatch` (empty lists). Links keep the filters, are host-relative
//! (twilio.md §0.7), and name the page in the version's own words.

use form_urlencoded::Serializer;
use reeld_store::{Cursor, Page, PageAt};

use crate::document::Paging;
use crate::face::{Face, Format, Version};

/// Letters of a Sid.
const SID_LEN: usize = 34;

/// What a list was asked for.
pub(crate) struct Place<'a> {
    /// The list's path, without an extension.
    pub(crate) path: &'a str,
    pub(crate) face: Face,
    pub(crate) filters: &'a [(String, String)],
    pub(crate) page: u64,
    pub(crate) page_size: u32,
    /// Where the page was asked for, if not by its number.
    pub(crate) at: Option<PageAt>,
}

/// What of the list is on the page.
#[derive(Debug, Default)]
pub(crate) struct Stretch {
    /// How many come before it.
    first: u64,
    /// How many the list has.
    total: u64,
    count: usize,
    /// Its first and last recording.
    ends: Option<(Cursor, Cursor)>,
}

impl Stretch {
    pub(crate) fn of(page: &Page) -> Self {
        let ends = page.records.first().zip(page.records.last());
        Self {
            first: page.first,
            total: page.total,
            count: page.records.len(),
            ends: ends.map(|(first, last)| (Cursor::of(first), Cursor::of(last))),
        }
    }
}

impl Place<'_> {
    /// The page's place in its list, and the links to the others.
    pub(crate) fn paging(&self, stretch: &Stretch) -> Paging {
        let pages = stretch.total.div_ceil(u64::from(self.page_size.max(1)));
        let start = if stretch.total == 0 { 0 } else { stretch.first };
        let behind = start.saturating_add(stretch.count as u64);
        let last = pages.checked_sub(1);
        let (next, previous) = match (self.face.version, stretch.ends) {
            (Version::V2010, Some((first, last))) => (
                (behind < stretch.total)
                    .then(|| self.link(self.page.saturating_add(1), Some(PageAt::After(last)))),
                (start > 0)
                    .then(|| self.link(self.page.saturating_sub(1), Some(PageAt::Before(first)))),
            ),
            (Version::V2008, _) | (Version::V2010, None) => {
                let next = self.page.saturating_add(1);
                let previous = self.page.checked_sub(1).zip(last);
                (
                    (next < pages).then(|| self.link(next, None)),
                    previous.map(|(page, last)| self.link(page.min(last), None)),
                )
            }
        };
        Paging {
            page: self.page,
            pages,
            page_size: self.page_size,
            total: stretch.total,
            start,
            end: start.saturating_add((stretch.count as u64).saturating_sub(1)),
            uri: self.link(self.page, self.at),
            // As Twilio has it: an empty list names its first page in JSON only.
            first: (pages > 0 || self.face.format == Format::Json).then(|| self.link(0, None)),
            next,
            previous,
            last: last.map(|page| self.link(page, None)),
        }
    }

    fn link(&self, page: u64, at: Option<PageAt>) -> String {
        let (size_name, page_name) = match self.face.version {
            Version::V2008 => ("num", "page"),
            Version::V2010 => ("PageSize", "Page"),
        };
        let extension = match self.face.format {
            Format::Xml => "",
            Format::Json => ".json",
            Format::Csv => ".csv",
            Format::Html => ".html",
        };
        let mut query = Serializer::new(String::new());
        query
            .extend_pairs(self.filters)
            .append_pair(size_name, &self.page_size.to_string())
            .append_pair(page_name, &page.to_string());
        if let Some(token) = at.and_then(token) {
            query.append_pair("PageToken", &token);
        }
        format!("{}{extension}?{}", self.path, query.finish())
    }
}

/// A page's `PageToken`: the recording that it comes after (`PA`) or before (`PB`), by creation
/// time and Sid, so that it holds when that one is deleted. `None` for a page by its number.
fn token(at: PageAt) -> Option<String> {
    let (side, Cursor { created_ms, sid }) = match at {
        PageAt::Number(_) => return None,
        PageAt::After(cursor) => ("PA", cursor),
        PageAt::Before(cursor) => ("PB", cursor),
    };
    Some(format!("{side}{sid}{created_ms:016x}"))
}

/// The page that a `PageToken` names.
pub(crate) fn place_of(token: &str) -> Result<PageAt, &'static str> {
    let parts = token
        .split_at_checked(2)
        .and_then(|(side, rest)| Some((side, rest.split_at_checked(SID_LEN)?)));
    let place = parts.and_then(|(side, (sid, created))| {
        let hex = created.len() == 16 && created.bytes().all(|digit| digit.is_ascii_hexdigit());
        let created_ms = u64::from_str_radix(created, 16).ok().filter(|_| hex)?;
        let cursor = Cursor {
            created_ms: created_ms.cast_signed(),
            sid: sid.parse().ok()?,
        };
        match side {
            "PA" => Some(PageAt::After(cursor)),
            "PB" => Some(PageAt::Before(cursor)),
            _ => None,
        }
    });
    place.ok_or("it must come from a link to another page")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(page: u64, filters: &[(String, String)]) -> Place<'_> {
        Place {
            path: "/2008-08-01/Accounts/AC/Recordings",
            face: Face {
                version: Version::V2008,
                format: Format::Xml,
            },
            filters,
            page,
            page_size: 10,
            at: None,
        }
    }

    fn stretch(first: u64, total: u64, count: usize) -> Stretch {
        Stretch {
            first,
            total,
            count,
            ends: None,
        }
    }

    #[test]
    fn tokens_are_read_as_they_are_written_and_others_are_refused() {
        let sid = "RE41331862605f3d662488fdafda2e175f".parse().unwrap();
        for created_ms in [i64::MIN, -1, 0, 1_207_026_435_000, i64::MAX] {
            let cursor = Cursor { created_ms, sid };
            for at in [PageAt::After(cursor), PageAt::Before(cursor)] {
                assert_eq!(place_of(&token(at).unwrap()), Ok(at));
            }
        }
        let good = token(PageAt::After(Cursor { created_ms: 7, sid })).unwrap();
        let bad = [
            String::new(),
            "PA".into(),
            format!("{good}0"),
            good.replace("PA", "PC"),
            good.replace("RE", "CA"),
            good.replace("00000007", "+0000007"),
            format!("P\u{e9}{}", &good[3..]),
            good[..51].to_owned(),
        ];
        for bad in bad {
            assert!(place_of(&bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn in_2010_a_link_names_the_recording_that_it_follows() {
        let sid = "RE41331862605f3d662488fdafda2e175f".parse().unwrap();
        let cursor = |created_ms| Cursor { created_ms, sid };
        let mut place = place(0, &[]);
        place.face.version = Version::V2010;
        // New ones have come before the page since it was the first.
        let paging = place.paging(&Stretch {
            ends: Some((cursor(9), cursor(5))),
            ..stretch(3, 14, 10)
        });
        assert_eq!((paging.start, paging.end), (3, 12));
        let link = |page, token: PageAt| {
            let token = super::token(token).unwrap();
            format!("/2008-08-01/Accounts/AC/Recordings?PageSize=10&Page={page}&PageToken={token}")
        };
        assert_eq!(paging.next, Some(link(1, PageAt::After(cursor(5)))));
        assert_eq!(paging.previous, Some(link(0, PageAt::Before(cursor(9)))));
    }

    #[test]
    fn the_middle_of_a_list_links_everywhere_with_its_filters() {
        let filters = [("DateCreated>".to_owned(), "2009-07-06".to_owned())];
        let paging = place(1, &filters).paging(&stretch(10, 25, 10));
        assert_eq!((paging.pages, paging.start, paging.end), (3, 10, 19));
        let link = |page| {
            format!(
                "/2008-08-01/Accounts/AC/Recordings?DateCreated%3E=2009-07-06&num=10&page={page}"
            )
        };
        assert_eq!(paging.uri, link(1));
        assert_eq!(paging.first, Some(link(0)));
        assert_eq!(paging.previous, Some(link(0)));
        assert_eq!(paging.next, Some(link(2)));
        assert_eq!(paging.last, Some(link(2)));
    }

    #[test]
    fn ends_and_what_lies_past_them() {
        let paging = place(2, &[]).paging(&stretch(20, 25, 5));
        assert_eq!((paging.start, paging.end, paging.next), (20, 24, None));
        let empty = place(0, &[]).paging(&stretch(0, 0, 0));
        assert_eq!((empty.pages, empty.start, empty.end), (0, 0, 0));
        assert!(empty.first.is_none() && empty.last.is_none() && empty.previous.is_none());
        let past = place(u64::MAX, &[]).paging(&stretch(u64::MAX, 25, 0));
        assert!(past.next.is_none());
        assert!(past.previous.unwrap().ends_with("page=2"));
    }
}
