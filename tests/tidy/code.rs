//! Reading Rust without a compiler: comments and literals blanked, functions and test modules found by their braces.

/// The text with comments, strings and character literals blanked, line breaks kept, so that words and braces count.
pub(super) fn code_only(text: &str) -> String {
    let characters: Vec<char> = text.chars().collect();
    let mut code = String::with_capacity(text.len());
    let mut at = 0;
    while at < characters.len() {
        let end = end_of_blank(&characters, at);
        if end == at {
            code.push(characters[at]);
            at += 1;
        } else {
            code.extend(characters[at..end].iter().map(|&character| if character == '\n' { '\n' } else { ' ' }));
            at = end;
        }
    }
    code
}

/// Where the comment or literal that begins at `at` ends; `at` itself where none begins.
fn end_of_blank(characters: &[char], at: usize) -> usize {
    let follows = |expected: &str| expected.chars().enumerate().all(|(n, c)| characters.get(at + n) == Some(&c));
    if follows("//") {
        return characters[at..].iter().position(|&c| c == '\n').map_or(characters.len(), |length| at + length);
    }
    if follows("/*") {
        return end_of_block_comment(characters, at);
    }
    match characters[at] {
        '"' => end_of_string(characters, at),
        '\'' => end_of_character(characters, at),
        'r' if !after_word(characters, at) => end_of_raw_string(characters, at, at + 1),
        'b' if follows("br") && !after_word(characters, at) => end_of_raw_string(characters, at, at + 2),
        _ => at,
    }
}

fn after_word(characters: &[char], at: usize) -> bool {
    // A `b` before the `r` of `br"…"` is no word of its own: the caller comes to the `b` first.
    at > 0 && is_word(characters[at - 1])
}

fn is_word(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

fn end_of_block_comment(characters: &[char], at: usize) -> usize {
    let (mut depth, mut end) = (0_usize, at);
    while end < characters.len() {
        match (characters[end], characters.get(end + 1)) {
            ('/', Some('*')) => (depth, end) = (depth + 1, end + 2),
            ('*', Some('/')) => (depth, end) = (depth - 1, end + 2),
            _ => end += 1,
        }
        if depth == 0 {
            return end;
        }
    }
    characters.len()
}

fn end_of_string(characters: &[char], at: usize) -> usize {
    let mut end = at + 1;
    while end < characters.len() {
        match characters[end] {
            '\\' => end += 2,
            '"' => return end + 1,
            _ => end += 1,
        }
    }
    characters.len()
}

fn end_of_raw_string(characters: &[char], at: usize, quote: usize) -> usize {
    let hashes = characters[quote..].iter().take_while(|&&c| c == '#').count();
    if characters.get(quote + hashes) != Some(&'"') {
        return at;
    }
    let mut end = quote + hashes + 1;
    while end < characters.len() {
        let closing = characters[end] == '"'
            && characters[end + 1..].iter().take(hashes).filter(|&&c| c == '#').count() == hashes;
        end += 1;
        if closing {
            return end + hashes;
        }
    }
    characters.len()
}

/// A lifetime is no literal: a character literal closes after one character, or after an escape.
fn end_of_character(characters: &[char], at: usize) -> usize {
    match (characters.get(at + 1), characters.get(at + 2)) {
        (Some('\\'), _) => {
            let rest = characters.get(at + 3..).unwrap_or_default();
            rest.iter().position(|&c| c == '\'').map_or(at, |length| at + 3 + length + 1)
        }
        (Some(_), Some('\'')) => at + 3,
        _ => at,
    }
}

/// The words of the code and where each begins (in bytes).
pub(super) fn words(code: &str) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    let mut start = None;
    for (at, character) in code.char_indices().chain([(code.len(), ' ')]) {
        match (is_word(character), start) {
            (true, None) => start = Some(at),
            (false, Some(from)) => {
                found.push((from, &code[from..at]));
                start = None;
            }
            _ => {}
        }
    }
    found
}

/// The line, counted from 1, of a byte of the text.
pub(super) fn line_of(text: &str, byte: usize) -> usize {
    text[..byte].matches('\n').count() + 1
}

/// A function of the code.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Function {
    pub(super) name: String,
    pub(super) line: usize,
    pub(super) lines: usize,
}

/// Every function that has a body.
pub(super) fn functions(code: &str) -> Vec<Function> {
    let words = words(code);
    let mut found = Vec::new();
    for pair in words.windows(2) {
        let [(at, "fn"), (name_at, name)] = pair else { continue };
        // `fn (` is a type; a name stands right behind a function's keyword.
        if code[at + 2..*name_at].trim() != "" {
            continue;
        }
        if let Some(end) = body_end(code, *name_at) {
            let (first, last) = (line_of(code, *at), line_of(code, end));
            found.push(Function { name: (*name).to_owned(), line: first, lines: last - first + 1 });
        }
    }
    found
}

/// Where the block that follows ends; none where a `;` outside of brackets comes first.
fn body_end(code: &str, from: usize) -> Option<usize> {
    let mut brackets = 0_i32;
    for (at, character) in code[from..].char_indices() {
        match character {
            '(' | '[' => brackets += 1,
            ')' | ']' => brackets -= 1,
            ';' if brackets == 0 => return None,
            '{' if brackets == 0 => return Some(block_end(code, from + at)),
            _ => {}
        }
    }
    None
}

/// Where the block that opens at `from` closes.
fn block_end(code: &str, from: usize) -> usize {
    let mut depth = 0_i32;
    for (at, character) in code[from..].char_indices() {
        match character {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return from + at;
        }
    }
    code.len()
}

/// The code without what stands behind `#[cfg(test)]`.
pub(super) fn without_tests(code: &str) -> String {
    let mut kept = code.to_owned();
    while let Some(at) = kept.find("#[cfg(test)]") {
        let end = body_end(&kept, at + "#[cfg(test)]".len()).map_or(at + "#[cfg(test)]".len(), |end| end + 1);
        let end = end.min(kept.len());
        let blank: String = kept[at..end].chars().map(|c| if c == '\n' { '\n' } else { ' ' }).collect();
        kept.replace_range(at..end, &blank);
    }
    kept
}

#[test]
fn comments_and_literals_are_blanked() {
    let text = "a // b\nc /* d /* e */ f */ g \"h \\\" i\" 'j' '\\'' r#\"k \" l\"# br\"m\" &'static n";
    let code = code_only(text);
    let found: Vec<&str> = words(&code).into_iter().map(|(_, word)| word).collect();
    assert_eq!(found, ["a", "c", "g", "static", "n"]);
    assert_eq!(code.matches('\n').count(), 1);
}

#[test]
fn functions_are_measured_from_their_keyword_to_their_last_brace() {
    let code = "struct S(fn (u8) -> u8);\ntrait T { fn none(); }\nfn two() {\n}\nfn three(a: [u8; 3])\nwhere u8: Copy {\n if a { b }\n}\n";
    let found: Vec<(String, usize, usize)> =
        functions(code).into_iter().map(|function| (function.name, function.line, function.lines)).collect();
    assert_eq!(found, [("two".to_owned(), 3, 2), ("three".to_owned(), 5, 4)]);
}

#[test]
fn test_modules_are_left_out() {
    let code =
        "fn kept() {}\n#[cfg(test)]\nmod tests { fn gone() {} }\nfn kept_too() {}\n#[cfg(test)]\nmod elsewhere;\n";
    let names: Vec<String> = functions(&without_tests(code)).into_iter().map(|function| function.name).collect();
    assert_eq!(names, ["kept", "kept_too"]);
}
