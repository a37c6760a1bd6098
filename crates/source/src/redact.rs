//! Commands as they may be recorded: without their credentials.

use std::ffi::OsString;

/// What stands in a credential's place.
const REMOVED: &str = "***";

/// Words that, in the name of an option or variable, say that its value is a secret.
const SECRET_WORDS: [&str; 8] =
    ["password", "passwd", "passphrase", "pwd", "secret", "token", "apikey", "credential"];

/// A command's arguments with every credential that can be recognised removed.
pub fn command(arguments: &[OsString]) -> Vec<String> {
    let program = arguments.first().map(|program| program.to_string_lossy().into_owned());
    let program = program.unwrap_or_default();
    let mysql = ["mysql", "mariadb"].iter().any(|name| program.contains(name));
    let mut value_is_secret = false;
    arguments
        .iter()
        .enumerate()
        .map(|(position, argument)| {
            let argument = argument.to_string_lossy();
            if std::mem::take(&mut value_is_secret) && !argument.starts_with('-') {
                return REMOVED.to_owned();
            }
            if position == 0 {
                return argument.into_owned();
            }
            if mysql && argument.starts_with("-p") && argument.len() > 2 {
                return format!("-p{REMOVED}");
            }
            value_is_secret = argument.starts_with("--")
                && !argument.contains(['=', ' '])
                && names_secret(&argument);
            words(&argument)
        })
        .collect()
}

/// Handles each word by itself: an argument may be a connection string or a shell script.
fn words(argument: &str) -> String {
    argument
        .split_inclusive(char::is_whitespace)
        .map(|piece| {
            let word = piece.trim_end();
            let space = piece.get(word.len()..).unwrap_or_default();
            format!("{}{space}", url(&assignment(word)))
        })
        .collect()
}

fn names_secret(name: &str) -> bool {
    let name: String = name.to_lowercase().chars().filter(|c| c.is_ascii_alphanumeric()).collect();
    SECRET_WORDS.iter().any(|word| name.contains(word))
}

/// `KEY=VALUE` where the key says that the value is secret.
fn assignment(word: &str) -> String {
    match word.split_once('=') {
        Some((key, value)) if !value.is_empty() && !key.contains("://") && names_secret(key) => {
            format!("{key}={REMOVED}")
        }
        _ => word.to_owned(),
    }
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
    let query: Vec<String> = query.split('&').map(assignment).collect();
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
