//! Where a page is in its list, and the links to the others.
//!
//! Called by `recordings` and `dispatch` (empty lists). Links keep the filters, are host-relative
//! (twilio.md §0.7), and name the page in the version's own words.

use form_urlencoded::Serializer;

use crate::document::Paging;
use crate::face::{Face, Format, Version};

/// What a list was asked for.
pub(crate) struct Place<'a> {
    /// The list's path, without an extension.
    pub(crate) path: &'a str,
    pub(crate) face: Face,
    pub(crate) filters: &'a [(String, String)],
    pub(crate) page: u64,
    pub(crate) page_size: u32,
}

impl Place<'_> {
    /// The page among `total` items, `count` of them on it.
    pub(crate) fn paging(&self, total: u64, count: usize) -> Paging {
        let size = u64::from(self.page_size.max(1));
        let pages = total.div_ceil(size);
        let start = if total == 0 {
            0
        } else {
            self.page.saturating_mul(size)
        };
        let link = |page: u64| Some(self.link(page));
        let last = pages.checked_sub(1);
        Paging {
            page: self.page,
            pages,
            page_size: self.page_size,
            total,
            start,
            end: start.saturating_add((count as u64).saturating_sub(1)),
            uri: self.link(self.page),
            // As Twilio has it: an empty list names its first page in JSON only.
            first: link(0).filter(|_| pages > 0 || self.face.format == Format::Json),
            next: link(self.page.saturating_add(1)).filter(|_| self.page.saturating_add(1) < pages),
            previous: self
                .page
                .checked_sub(1)
                .and_then(|page| link(page.min(last?))),
            last: last.and_then(link),
        }
    }

    fn link(&self, page: u64) -> String {
        let (size_name, page_name) = match self.face.version {
            Version::V2008 => ("num", "page"),
            Version::V2010 => ("PageSize", "Page"),
        };
        let extension = match self.face.format {
            Format::Xml => "",
            Format::Json => ".json",
        };
        let query = Serializer::new(String::new())
            .extend_pairs(self.filters)
            .append_pair(size_name, &self.page_size.to_string())
            .append_pair(page_name, &page.to_string())
            .finish();
        format!("{}{extension}?{query}", self.path)
    }
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
        }
    }

    #[test]
    fn the_middle_of_a_list_links_everywhere_with_its_filters() {
        let filters = [("DateCreated>".to_owned(), "2009-07-06".to_owned())];
        let paging = place(1, &filters).paging(25, 10);
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
        let paging = place(2, &[]).paging(25, 5);
        assert_eq!((paging.start, paging.end, paging.next), (20, 24, None));
        let empty = place(0, &[]).paging(0, 0);
        assert_eq!((empty.pages, empty.start, empty.end), (0, 0, 0));
        assert!(empty.first.is_none() && empty.last.is_none() && empty.previous.is_none());
        let past = place(u64::MAX, &[]).paging(25, 0);
        assert!(past.next.is_none());
        assert!(past.previous.unwrap().ends_with("page=2"));
    }
}
