//! What must not leave the machine.

/// What a name contains whose value is nobody else's business.
const SECRET_NAMES: [&str; 7] =
    ["password", "passwd", "secret", "credential", "authorization", "private_key", "payload"];
/// What stands in the place of what was there.
const HIDDEN: &str = "[redacted]";

/// The text with its secrets and payloads hidden, line by line: what follows a name that says so, up to the line's end,
/// and the user and password of an address.
///
/// A node's own logs, configuration and status hold none of them; this is for what people put there.
#[must_use]
pub fn redact(text: &str) -> String {
    let mut redacted = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        let (line, end) = line.strip_suffix('\n').map_or((line, ""), |line| (line, "\n"));
        redacted.push_str(&without_user(&without_secret(line)));
        redacted.push_str(end);
    }
    redacted
}

/// Hides what follows the first `=` or `:` behind a secret's name.
fn without_secret(line: &str) -> String {
    let small = line.to_ascii_lowercase();
    let named = SECRET_NAMES.iter().filter_map(|name| small.find(name).map(|at| at + name.len()));
    // What stands between the name and its value: quotes, spaces, the rest of the name.
    let value = named.filter_map(|at| {
        let rest = line.get(at..)?;
        let sign = rest.find(['=', ':'])?;
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-\"' ".contains(&byte);
        rest.as_bytes().get(..sign)?.iter().all(|byte| plain(*byte)).then_some(at + sign + 1)
    });
    match value.min() {
        Some(at) if !line.get(at..).unwrap_or_default().trim().is_empty() => {
            format!("{} {HIDDEN}", line.get(..at).unwrap_or_default())
        }
        Some(_) | None => line.to_owned(),
    }
}

/// Hides `user:password@` of addresses.
fn without_user(line: &str) -> String {
    let mut redacted = String::new();
    let mut rest = line;
    while let Some(at) = rest.find("://") {
        let (before, after) = rest.split_at(at + 3);
        redacted.push_str(before);
        let end = after.find(['/', ' ', '"', '\'']).unwrap_or(after.len());
        let user = after.get(..end).and_then(|authority| authority.rfind('@'));
        rest = match user {
            Some(user) => {
                redacted.push_str(HIDDEN);
                after.get(user..).unwrap_or_default()
            }
            None => after,
        };
    }
    redacted + rest
}

#[cfg(test)]
mod tests {
    use super::redact;

    #[test]
    fn secrets_payloads_and_users_of_addresses_are_hidden_and_the_rest_is_kept() {
        for (text, expected) in [
            ("node = 1\ncluster = \"shop\"\n", "node = 1\ncluster = \"shop\"\n"),
            ("password = \"x y\"\nnode = 1", "password = [redacted]\nnode = 1"),
            ("  \"client_secret_2\": \"abc\",", "  \"client_secret_2\": [redacted]"),
            ("Authorization: Bearer abc=", "Authorization: [redacted]"),
            ("at 1 {\"payload\":\"YWJj\"}", "at 1 {\"payload\": [redacted]"),
            ("dial http://me:you@host:1/x failed", "dial http://[redacted]@host:1/x failed"),
            ("dial http://host:1/x@y", "dial http://host:1/x@y"),
            ("the payload has 3 bytes", "the payload has 3 bytes"),
            ("é secret: é", "é secret: [redacted]"),
        ] {
            assert_eq!(redact(text), expected);
        }
    }
}
