//! Listings in pages.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::ops::Bound;

use super::bucket::Object;
use super::xml::escape;

/// What is asked for.
pub(super) struct Listing {
    pub(super) prefix: String,
    /// Names are cut after the first of these that follows the prefix.
    pub(super) delimiter: Option<String>,
    /// Only names after this one.
    pub(super) after: Option<String>,
    /// At most so many names and cut names.
    pub(super) most: usize,
}

/// A page: the document, and after which name it goes on.
#[derive(Default, Debug, PartialEq, Eq)]
pub(super) struct Page {
    pub(super) names: Vec<String>,
    pub(super) prefixes: Vec<String>,
    pub(super) next: Option<String>,
}

impl Listing {
    pub(super) fn page(&self, objects: &BTreeMap<String, Object>) -> Page {
        let mut page = Page::default();
        let mut last = None;
        let from = match self.after.as_deref() {
            Some(after) if after >= self.prefix.as_str() => Bound::Excluded(after),
            _ => Bound::Included(self.prefix.as_str()),
        };
        let names = objects.range::<str, _>((from, Bound::Unbounded)).map(|(name, _)| name);
        for name in names.take_while(|name| name.starts_with(&self.prefix)) {
            let cut = self.cut(name);
            // A cut name is told once: on this page or, where the last one ended with it, there.
            let told = cut.is_some()
                && (cut == page.prefixes.last().map(String::as_str)
                    || cut == self.after.as_deref());
            if told {
                continue;
            }
            if page.names.len() + page.prefixes.len() == self.most {
                page.next = last;
                break;
            }
            last = Some(cut.unwrap_or(name).to_owned());
            match cut {
                Some(cut) => page.prefixes.push(cut.to_owned()),
                None => page.names.push(name.clone()),
            }
        }
        page
    }

    fn cut<'a>(&self, name: &'a str) -> Option<&'a str> {
        let delimiter = self.delimiter.as_deref()?;
        let at = name.get(self.prefix.len()..)?.find(delimiter)?;
        name.get(..self.prefix.len() + at + delimiter.len())
    }
}

/// The page as a document.
pub(super) fn document(bucket: &str, page: &Page, objects: &BTreeMap<String, Object>) -> String {
    let mut xml = String::from("<?xml version='1.0' encoding='UTF-8'?><ListBucketResult>");
    let mut add = |part: std::fmt::Arguments<'_>| {
        // Writing to a string does not fail.
        let _ = xml.write_fmt(part);
    };
    add(format_args!("<Name>{}</Name>", escape(bucket)));
    add(format_args!("<IsTruncated>{}</IsTruncated>", page.next.is_some()));
    if let Some(next) = &page.next {
        add(format_args!(
            "<NextContinuationToken>{}</NextContinuationToken>",
            escape(&token(next))
        ));
    }
    for name in &page.names {
        let Some(object) = objects.get(name) else { continue };
        add(format_args!(
            "<Contents><Key>{}</Key><Generation>{}</Generation><LastModified>{}</LastModified>\
             <ETag>{}</ETag><Size>{}</Size></Contents>",
            escape(name),
            object.generation,
            object.modified,
            escape(&object.etag()),
            object.data.len(),
        ));
    }
    for prefix in &page.prefixes {
        add(format_args!("<CommonPrefixes><Prefix>{}</Prefix></CommonPrefixes>", escape(prefix)));
    }
    xml.push_str("</ListBucketResult>");
    xml
}

/// Tokens are not names: whoever confuses them must find out.
fn token(name: &str) -> String {
    format!("after:{name}")
}

/// The name in a token.
pub(super) fn from_token(token: &str) -> Option<String> {
    token.strip_prefix("after:").map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pages(names: &[&str], delimiter: Option<&str>, prefix: &str, most: usize) -> Vec<Page> {
        let object = Object {
            data: Default::default(),
            generation: 1,
            modified: Default::default(),
            attributes: Vec::new(),
        };
        let objects = names.iter().map(|name| (name.to_string(), object.clone())).collect();
        let mut pages: Vec<Page> = Vec::new();
        loop {
            let after = pages.last().and_then(|page| page.next.clone());
            if after.is_none() && !pages.is_empty() {
                return pages;
            }
            let delimiter = delimiter.map(str::to_owned);
            pages
                .push(Listing { prefix: prefix.to_owned(), delimiter, after, most }.page(&objects));
        }
    }

    #[test]
    fn a_full_last_page_is_the_last() {
        let sizes: Vec<usize> =
            pages(&["a", "b", "c", "d"], None, "", 2).iter().map(|page| page.names.len()).collect();
        assert_eq!(sizes, [2, 2]);
    }

    #[test]
    fn cut_names_count_and_are_told_once() {
        let names = ["a/1", "a/2", "a/3", "b", "c/1", "c/2", "d/1"];
        let pages = pages(&names, Some("/"), "", 2);
        let told: Vec<_> =
            pages.iter().map(|page| (page.names.join(" "), page.prefixes.join(" "))).collect();
        let expected = [("b", "a/"), ("", "c/ d/")];
        assert_eq!(told, expected.map(|(names, prefixes)| (names.to_owned(), prefixes.to_owned())));
    }

    #[test]
    fn a_prefix_limits_names_and_cuts() {
        let pages = pages(&["a/b/1", "a/c", "ab", "b/c"], Some("/"), "a/", 10);
        assert_eq!(pages.len(), 1);
        assert_eq!(pages[0].names, ["a/c"]);
        assert_eq!(pages[0].prefixes, ["a/b/"]);
    }
}
