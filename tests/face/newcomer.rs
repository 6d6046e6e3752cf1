//! The way from an empty directory to a program that embeds a node, taken word for word as docs/embedding.md has it.

use std::path::Path;
use std::process::Command;

/// The fenced blocks of a language, in order.
fn blocks<'a>(text: &'a str, language: &str) -> Vec<&'a str> {
    let opening = format!("\n```{language}\n");
    text.split(opening.as_str()).skip(1).filter_map(|rest| rest.split("\n```").next()).collect()
}

#[test]
#[ignore = "it builds the library and all below it once more; continuous integration has a step for it"]
fn the_newcomers_path_leads_to_a_program_that_runs() {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = std::fs::read_to_string(repository.join("docs/embedding.md")).expect("the page is there");
    let (commands, programs) = (blocks(&page, "sh"), blocks(&page, "rust"));
    let place = tempfile::tempdir().expect("a directory");
    std::os::unix::fs::symlink(repository, place.path().join("engraft")).expect("a link");
    let run = |directory: &Path, script: &str| {
        let mut shell = Command::new("bash");
        shell.args(["-e", "-c", script]).current_dir(directory).env_remove("CARGO_MANIFEST_DIR");
        // Kept for the next time; nothing of it depends on where it is.
        let output = shell.env("CARGO_TARGET_DIR", repository.join("target/newcomer")).output().expect("bash runs");
        assert!(output.status.success(), "{script}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("text")
    };
    run(place.path(), commands[0]);
    let shop = place.path().join("shop");
    let manifest = std::fs::read_to_string(shop.join("Cargo.toml")).expect("cargo made it");
    let (kept, last) = manifest.trim_end().rsplit_once('\n').expect("it has lines");
    assert_eq!(last, "[dependencies]", "the last line is the one to be replaced");
    std::fs::write(shop.join("Cargo.toml"), format!("{kept}\n{}\n", blocks(&page, "toml")[0])).expect("written");
    std::fs::write(shop.join("src/main.rs"), format!("{}\n", programs[0])).expect("written");
    assert_eq!(run(&shop, commands[1]).trim_end(), blocks(&page, "text")[0]);

    std::fs::write(shop.join("src/main.rs"), format!("{}\n", programs[1])).expect("written");
    assert_eq!(run(&shop, "cargo run --quiet"), "{\"apples\": 5, \"pears\": 3}\n".repeat(3));

    let without_a_runtime = format!(
        "use engraft::{{Engraft, SpaceOptions}};\n\
         fn main() -> Result<(), Box<dyn std::error::Error>> {{\n{}\nOk(())\n}}\n",
        programs[2]
    );
    std::fs::write(shop.join("src/main.rs"), without_a_runtime).expect("written");
    assert_eq!(run(&shop, "cargo run --quiet").trim_end(), "#6");
}
