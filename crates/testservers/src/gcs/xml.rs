//! As much XML as the API needs.

/// Text as it stands in a document.
pub(super) fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// The contents of all elements of this name, which do not lie within each other.
pub(super) fn elements<'a>(document: &'a str, name: &str) -> Vec<&'a str> {
    let (open, close) = (format!("<{name}>"), format!("</{name}>"));
    let rest = document.split(&open).skip(1);
    rest.filter_map(|rest| rest.split_once(&close)).map(|(content, _)| content).collect()
}

/// Number and tag of each part that a document completes an upload with.
pub(super) fn parts(document: &str) -> Option<Vec<(u32, String)>> {
    let part = |part: &str| {
        let number = elements(part, "PartNumber").first()?.parse().ok()?;
        Some((number, elements(part, "ETag").first()?.replace("&quot;", "\"")))
    };
    elements(document, "Part").into_iter().map(part).collect()
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
