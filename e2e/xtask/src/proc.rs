//! Running other programs: show or collect what they say, and turn a failure into a sentence with the command in it.

use anyhow::{Context, Result, bail};
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// The command as a person would type it.
pub fn show(cmd: &Command) -> String {
    std::iter::once(cmd.get_program())
        .chain(cmd.get_args())
        .map(|part| quoted(&part.to_string_lossy()))
        .collect::<Vec<_>>()
        .join(" ")
}

/// A word as a shell reads it back: as it is, or in single quotes.
pub fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+:@,=".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', "'\\''"))
}

fn ended(status: ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt as _;
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("ended with exit code {code}"),
        (None, Some(signal)) => format!("was ended by signal {signal}"),
        (None, None) => "ended without an exit code".to_owned(),
    }
}

/// Runs `cmd` with the terminal as it is. `why` is the end of the sentence "could not …".
pub fn run(cmd: &mut Command, why: &str) -> Result<()> {
    let status = cmd.status().with_context(|| format!("could not {why}: `{}` did not start", show(cmd)))?;
    if !status.success() {
        bail!("could not {why}: `{}` {}", show(cmd), ended(status));
    }
    Ok(())
}

/// Runs `cmd` and returns its standard output; what it wrote to standard error is part of the error.
pub fn capture(cmd: &mut Command, why: &str) -> Result<String> {
    let out = cmd.output().with_context(|| format!("could not {why}: `{}` did not start", show(cmd)))?;
    if !out.status.success() {
        let said = String::from_utf8_lossy(&out.stderr);
        let tail: Vec<&str> = said.lines().rev().take(20).collect();
        let tail = tail.into_iter().rev().collect::<Vec<_>>().join("\n  ");
        bail!("could not {why}: `{}` {}\n  {tail}", show(cmd), ended(out.status));
    }
    String::from_utf8(out.stdout).with_context(|| format!("`{}` printed something that is not UTF-8", show(cmd)))
}

/// What a watched program said and how it ended.
pub struct Said {
    /// Standard output and standard error, line by line in the order they came.
    pub text: String,
    /// Whether it ended with exit code 0.
    pub success: bool,
    /// How it ended, in words.
    pub how: String,
}

/// Runs `cmd`, shows every line as it comes and keeps them all.
pub fn tee(cmd: &mut Command, why: &str) -> Result<Said> {
    cmd.stdout(Stdio::piped()).stderr(Stdio::piped()).stdin(Stdio::null());
    let mut child = cmd.spawn().with_context(|| format!("could not {why}: `{}` did not start", show(cmd)))?;
    let text = Arc::new(Mutex::new(String::new()));
    let readers: Vec<_> = [
        child.stdout.take().map(|s| Box::new(s) as Box<dyn Read + Send>),
        child.stderr.take().map(|s| Box::new(s) as Box<dyn Read + Send>),
    ]
    .into_iter()
    .flatten()
    .map(|stream| {
        let text = Arc::clone(&text);
        thread::spawn(move || copy_lines(stream, &text))
    })
    .collect();
    for reader in readers {
        // A reader ends with its stream; it has nothing to say if the stream broke.
        let _ = reader.join();
    }
    let status = child.wait().with_context(|| format!("could not wait for `{}`", show(cmd)))?;
    let text = text.lock().unwrap_or_else(PoisonError::into_inner).clone();
    Ok(Said { text, success: status.success(), how: ended(status) })
}

fn copy_lines(stream: Box<dyn Read + Send>, text: &Mutex<String>) {
    let mut stream = BufReader::new(stream);
    let mut line = Vec::new();
    while stream.read_until(b'\n', &mut line).is_ok_and(|n| n > 0) {
        let shown = String::from_utf8_lossy(&line);
        print!("{shown}");
        let _ = std::io::stdout().flush();
        text.lock().unwrap_or_else(PoisonError::into_inner).push_str(&shown);
        line.clear();
    }
}

/// A program that runs beside the work and is ended, by its own process id, when this value is dropped.
pub struct Beside {
    child: Child,
    name: String,
}

impl Beside {
    /// Starts `cmd`. `name` is what messages call it.
    pub fn start(cmd: &mut Command, name: &str) -> Result<Self> {
        let child = cmd.spawn().with_context(|| format!("{name} did not start: `{}`", show(cmd)))?;
        Ok(Self { child, name: name.to_owned() })
    }

    /// Waits until `ready` holds; an error if the program ends first or `bound` passes.
    pub fn wait_until(&mut self, what: &str, bound: Duration, mut ready: impl FnMut() -> bool) -> Result<()> {
        let start = Instant::now();
        loop {
            if ready() {
                return Ok(());
            }
            if let Some(status) = self.child.try_wait().with_context(|| format!("{} cannot be watched", self.name))? {
                bail!("{} {} before it was {what}", self.name, ended(status));
            }
            if start.elapsed() > bound {
                bail!("{} was not {what} within {}", self.name, crate::say::time(bound));
            }
            // A poll, not a synchronisation: the condition decides, the bound ends it.
            thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        if let Some(pid) = rustix::process::Pid::from_raw(self.child.id().cast_signed()) {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        }
        let start = Instant::now();
        while start.elapsed() < Duration::from_secs(5) {
            if matches!(self.child.try_wait(), Ok(Some(_))) {
                return;
            }
            thread::sleep(Duration::from_millis(20));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_names_the_command_and_its_exit_code() {
        let text = run(Command::new("sh").args(["-c", "exit 7"]), "do it").unwrap_err().to_string();
        assert_eq!(text, "could not do it: `sh -c 'exit 7'` ended with exit code 7");
        let text =
            capture(Command::new("sh").args(["-c", "echo reason >&2; kill -9 $$"]), "do it").unwrap_err().to_string();
        assert!(text.contains("signal 9") && text.contains("reason"), "{text}");
    }

    #[test]
    fn tee_keeps_both_streams() {
        let said = tee(Command::new("sh").args(["-c", "echo out; echo err >&2; exit 3"]), "talk").unwrap();
        assert!(said.text.contains("out\n") && said.text.contains("err\n") && !said.success);
    }

    #[test]
    fn what_runs_beside_is_ended_with_its_guard() {
        let beside = Beside::start(Command::new("sleep").arg("1000"), "a sleeper").unwrap();
        let pid = rustix::process::Pid::from_raw(beside.child.id().cast_signed()).unwrap();
        assert!(rustix::process::test_kill_process(pid).is_ok());
        drop(beside);
        assert!(rustix::process::test_kill_process(pid).is_err());
    }

    #[test]
    fn a_program_that_ends_too_early_is_an_error() {
        let mut beside = Beside::start(&mut Command::new("true"), "a short one").unwrap();
        let text = beside.wait_until("ready", Duration::from_secs(5), || false).unwrap_err().to_string();
        assert!(text.contains("before it was ready"), "{text}");
    }
}
