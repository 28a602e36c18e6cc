//! The Java that runs Kafka, Maven and the registry.

use super::StackError;
use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Oldest Java that Kafka 4 runs on.
const OLDEST: u32 = 17;

/// Environment of a server in Java, which opens files with names beyond ASCII only where the locale has them.
pub(super) fn environment() -> Vec<(&'static str, String)> {
    vec![("LC_ALL", "C.UTF-8".to_owned())]
}

/// The `java` program: of `JAVA_HOME`, else the one on the path.
pub(super) fn find() -> Result<PathBuf, StackError> {
    let of_home =
        env::var_os("JAVA_HOME").map(|home| Path::new(&home).join("bin/java")).filter(|java| java.is_file());
    let Some(java) = of_home.or_else(|| on_path("java")) else {
        return Err(StackError::NoJava { found: "there is none on the path or in JAVA_HOME".to_owned() });
    };
    let answer = Command::new(&java)
        .arg("-version")
        .stdin(Stdio::null())
        .output()
        .map_err(StackError::io("run", &java))?;
    // It goes to stderr, wherever the answer is on macOS without a runtime too.
    let text = String::from_utf8_lossy(&answer.stderr);
    match major(&text) {
        Some(version) if version >= OLDEST => Ok(java),
        Some(version) => Err(StackError::NoJava { found: format!("{} is Java {version}", java.display()) }),
        None => Err(StackError::NoJava { found: format!("{} does not say its version", java.display()) }),
    }
}

/// The program of that name on the path.
pub(super) fn on_path(name: &str) -> Option<PathBuf> {
    env::split_paths(&env::var_os("PATH")?).map(|dir| dir.join(name)).find(|program| program.is_file())
}

/// `openjdk version "17.0.15" 2025-04-15`, `java version "1.8.0_401"`, `openjdk version "25-ea"`.
fn major(text: &str) -> Option<u32> {
    let version = text.split_once(" version \"")?.1;
    let number = version.strip_prefix("1.").unwrap_or(version);
    let digits: String = number.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_as_java_prints_them() {
        for (text, expected) in [
            ("openjdk version \"17.0.15\" 2025-04-15\nOpenJDK Runtime", Some(17)),
            ("java version \"1.8.0_401\"", Some(8)),
            ("openjdk version \"25-ea\" 2025-09-16", Some(25)),
            ("The operation couldn’t be completed. Unable to locate a Java Runtime.", None),
        ] {
            assert_eq!(major(text), expected, "{text}");
        }
    }
}
