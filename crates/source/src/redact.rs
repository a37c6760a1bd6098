//! Commands as they may be recorded: without their credentials.

use std::ffi::OsString;

/// What stands in a credential's place.
const REMOVED: &str = "***";

/// Words that, in the name of an option, variable or header, say that its value is a secret.
const SECRET_WORDS: [&str; 10] = [
    "password",
    "passwd",
    "passphrase",
    "pwd",
    "secret",
    "token",
    "apikey",
    "credential",
    "authorization",
    "bearer",
];

/// A command's arguments with every credential that can be recognised removed; where it is not
/// clear how far a credential goes, more is removed rather than less.
pub fn command(arguments: &[OsString]) -> Vec<String> {
    let arguments: Vec<_> = arguments.iter().map(|argument| argument.to_string_lossy()).collect();
    let mut redactor = Redactor {
        mysql: arguments.iter().any(|text| text.contains("mysql") || text.contains("mariadb")),
        next: Next::Kept,
    };
    arguments
        .iter()
        .enumerate()
        .map(|(position, argument)| match position {
            0 => argument.clone().into_owned(),
            _ => redactor.text(argument),
        })
        .collect()
}

/// What becomes of the next word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    Kept,
    /// It is a secret, unless it is an equals sign before one.
    Removed,
    /// It is one if it is an equals sign before one.
    RemovedAfterEquals,
}

struct Redactor {
    /// `-pSECRET` is a password.
    mysql: bool,
    next: Next,
}

impl Redactor {
    /// Handles each word by itself: an argument may be a connection string or a shell script.
    fn text(&mut self, text: &str) -> String {
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(start) = rest.find(|c: char| !c.is_whitespace()) {
            let (space, words) = rest.split_at(start);
            let (word, after) = words.split_at(word_end(words));
            out.push_str(space);
            // `Authorization: Bearer …`: a header's value goes to the end of its text.
            if word.ends_with(':') && names_secret(word) {
                out.push_str(word);
                out.push(' ');
                out.push_str(REMOVED);
                return out;
            }
            out.push_str(&self.word(word));
            rest = after;
        }
        out + rest
    }

    fn word(&mut self, word: &str) -> String {
        let next = std::mem::replace(&mut self.next, Next::Kept);
        match (next, word) {
            (Next::Removed | Next::RemovedAfterEquals, "=") => {
                self.next = Next::Removed;
                return word.to_owned();
            }
            (Next::Removed, _) => return REMOVED.to_owned(),
            _ => {}
        }
        if self.mysql && word.starts_with("-p") && word.len() > 2 {
            return format!("-p{REMOVED}");
        }
        if let Some(redacted) = assignment(word) {
            return redacted;
        }
        for quote in ['\'', '"'] {
            let inner = word.strip_prefix(quote).and_then(|word| word.strip_suffix(quote));
            if let Some(inner) = inner {
                return format!("{quote}{}{quote}", self.text(inner));
            }
        }
        if names_secret(word) && !word.contains("://") && !word.contains('/') {
            self.next =
                if word.starts_with('-') { Next::Removed } else { Next::RemovedAfterEquals };
        }
        url(word)
    }
}

/// Where the word that `text` begins with ends: at white space outside quotes.
fn word_end(text: &str) -> usize {
    let mut quote = None;
    for (place, character) in text.char_indices() {
        match quote {
            Some(open) if character == open => quote = None,
            Some(_) => {}
            None if character.is_whitespace() => return place,
            None if matches!(character, '\'' | '"') => quote = Some(character),
            None => {}
        }
    }
    text.len()
}

fn names_secret(name: &str) -> bool {
    let name: String = name.to_lowercase().chars().filter(|c| c.is_ascii_alphanumeric()).collect();
    SECRET_WORDS.iter().any(|word| name.contains(word))
}

/// `KEY=VALUE` where the key says that the value is secret.
fn assignment(word: &str) -> Option<String> {
    let (key, value) = word.split_once('=')?;
    let secret = !value.is_empty() && !key.contains("://") && names_secret(key);
    secret.then(|| format!("{key}={REMOVED}"))
}

/// `scheme://user:password@host` and `…?password=…`.
fn url(word: &str) -> String {
    let Some((scheme, rest)) = word.split_once("://") else {
        return word.to_owned();
    };
    let authority_end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    // A password may itself hold the characters that end an authority.
    let at = rest.get(..authority_end).and_then(|authority| authority.rfind('@'));
    let at = at.or_else(|| rest.rfind('@'));
    let rest = match at.and_then(|at| Some((rest.get(..at)?, rest.get(at..)?))) {
        Some((user, host)) => match user.split_once(':') {
            Some((user, _)) => format!("{user}:{REMOVED}{host}"),
            None => rest.to_owned(),
        },
        None => rest.to_owned(),
    };
    let Some((before, query)) = rest.split_once('?') else {
        return format!("{scheme}://{rest}");
    };
    let query: Vec<String> =
        query.split('&').map(|pair| assignment(pair).unwrap_or_else(|| pair.to_owned())).collect();
    format!("{scheme}://{before}?{}", query.join("&"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn redacted(arguments: &[&str]) -> String {
        command(&arguments.iter().map(OsString::from).collect::<Vec<_>>()).join(" ")
    }

    #[test]
    fn no_credential_is_recorded() {
        for arguments in [
            vec!["pg_dump", "postgresql://app:hunter2@db.example/orders"],
            vec!["pg_dump", "postgresql://app:hun/ter2@db.example/orders"],
            vec!["pg_dump", "postgresql://db.example/orders?user=a&password=hunter2"],
            vec!["pg_dump", "host=db password=hunter2 dbname=orders"],
            vec!["sh", "-c", "PGPASSWORD=hunter2 pg_dump orders"],
            vec!["mysqldump", "-phunter2", "orders"],
            vec!["mysqldump", "--password=hunter2", "orders"],
            vec!["tool", "--api-key", "hunter2"],
            vec!["env", "AWS_SECRET_ACCESS_KEY=hunter2", "tool"],
            vec!["pg_dump", "host=db password='very hunter2' dbname=orders"],
            vec!["pg_dump", "host=db password = hunter2 dbname=orders"],
            vec!["sh", "-c", "bash -c 'mysqldump -uroot -phunter2 orders'"],
            vec!["sh", "-c", "tool --password hunter2 orders"],
            vec!["sshpass", "--password", "-hunter2"],
            vec!["curl", "-H", "Authorization: Bearer hunter2", "https://db.example"],
            vec!["sh", "-c", "curl --header 'Authorization: Bearer hunter2' x"],
        ] {
            let text = redacted(&arguments);
            assert!(!text.contains("hunter2") && !text.contains("ter2"), "{text}");
            assert!(text.contains(REMOVED), "{text}");
        }
    }

    #[test]
    fn everything_else_stays() {
        for arguments in [
            vec!["pg_dump", "-Z0", "-h", "db", "orders"],
            vec!["pg_dump", "postgresql://app@db.example:5432/orders?sslmode=require"],
            vec!["sh", "-c", "pg_dump a | sed 's/x/y/'"],
        ] {
            assert_eq!(redacted(&arguments), arguments.join(" "));
        }
    }
}
