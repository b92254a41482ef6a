//! Texts in XML, written the same way everywhere.

use std::fmt::Write;

/// `text` as content, or in an attribute in double quotes. Line ends and tabs stay what they are in
/// attributes too; other control characters, which XML 1.0 has no way to write, become spaces.
pub(crate) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\n' | '\t' | '\r' => {
                let _ = write!(out, "&#{};", c as u32);
            }
            c if c < ' ' => out.push(' '),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::escaped;

    #[test]
    fn what_xml_reads_as_its_own_is_written_as_references() {
        assert_eq!(
            escaped("a < \"b\" & c > d"),
            "a &lt; &quot;b&quot; &amp; c &gt; d"
        );
        assert_eq!(escaped("1\n\t2\r\u{1}3"), "1&#10;&#9;2&#13; 3");
    }
}
