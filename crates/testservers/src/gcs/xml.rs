//! As much XML as the API needs.

use crate::request::elements;

/// Text as it stands in a document.
pub(super) fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// Number and tag of each part that a document completes an upload with.
pub(super) fn parts(document: &str) -> Option<Vec<(u32, String)>> {
    let part = |part: &str| {
        let number = elements(part, "PartNumber").first()?.parse().ok()?;
        Some((number, elements(part, "ETag").first()?.replace("&quot;", "\"")))
    };
    elements(document, "Part").iter().map(|text| part(text)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_read_with_their_tags() {
        let document = "<CompleteMultipartUpload>\
            <Part><ETag>\"a\"</ETag><PartNumber>1</PartNumber></Part>\
            <Part><PartNumber>2</PartNumber><ETag>&quot;b&quot;</ETag></Part>\
            </CompleteMultipartUpload>";
        let expected = vec![(1, "\"a\"".to_owned()), (2, "\"b\"".to_owned())];
        assert_eq!(parts(document), Some(expected));
        assert_eq!(parts("<Part><PartNumber>x</PartNumber></Part>"), None);
    }
}
