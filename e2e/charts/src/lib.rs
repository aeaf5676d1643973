//! Helm and the charts of this tree, as tests call them. Must not know what the objects are for: that is the tests' to say.

pub mod rights;

use anyhow::{Context, Result, bail};
use coalition_cluster::tools::Tools;
use serde_json::Value;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// The namespace that a test installs into.
pub const NAMESPACE: &str = "coalition-system";

/// The version of the API server that Helm shall render for: that of the clusters the tests start (e2e/tools/k8s/go.mod). The
/// pinned Helm is built without the stamp that would tell it one.
pub const KUBERNETES: &str = "1.36.2";

/// The program, with a home of its own.
#[derive(Debug)]
pub struct Helm {
    program: PathBuf,
    home: TempDir,
}

/// What a call wrote, and whether it succeeded.
#[derive(Debug)]
pub struct Said {
    /// Whether Helm was content.
    pub good: bool,
    /// Its standard output.
    pub out: String,
    /// Its errors and warnings.
    pub err: String,
}

impl Helm {
    /// The pinned Helm, or the one on the path.
    pub fn find() -> Result<Self> {
        let program = Tools::find().path("helm")?;
        Ok(Self { program, home: tempfile::tempdir().context("no temporary folder for Helm")? })
    }

    /// The same for a test: where there is none, says `SKIPPED: reason`, which the gate counts, and gives none.
    pub fn find_or_skip() -> Option<Self> {
        Self::find().map_err(|why| println!("SKIPPED: {why}")).ok()
    }

    /// Where it keeps nothing worth keeping, as variables and their values.
    pub fn environment(&self) -> Vec<(String, PathBuf)> {
        let folder = |name: &str| self.home.path().join(name);
        ["CACHE", "CONFIG", "DATA"].iter().map(|name| (format!("HELM_{name}_HOME"), folder(name))).collect()
    }

    /// The program.
    pub fn program(&self) -> &Path {
        &self.program
    }

    /// Runs it.
    pub fn run<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Result<Said> {
        let out = Command::new(&self.program)
            .args(args)
            .envs(self.environment())
            .output()
            .with_context(|| format!("cannot run {}", self.program.display()))?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Ok(Said { good: out.status.success(), out: text(&out.stdout), err: text(&out.stderr) })
    }

    /// What the chart called `name` renders into `namespace` with the values in these files.
    pub fn template(&self, name: &str, namespace: &str, values: &[&Path]) -> Result<Said> {
        let chart = chart(name);
        let mut args: Vec<&OsStr> = ["template", "coalition"].iter().map(OsStr::new).collect();
        args.push(chart.as_os_str());
        args.extend(["--namespace", namespace, "--kube-version", KUBERNETES].map(OsStr::new));
        for file in values {
            args.extend([OsStr::new("--values"), file.as_os_str()]);
        }
        self.run(args)
    }

    /// The objects that the chart `coalition` renders with one of its own files of values, by the name of the file.
    pub fn objects(&self, file: &str) -> Result<Vec<Value>> {
        let said = self.template("coalition", NAMESPACE, &[&values(file)])?;
        if !said.good {
            bail!("ci/{file}-values.yaml is refused: {}", said.err);
        }
        objects(&said.out)
    }
}

/// The root of the source tree.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap_or(Path::new(".")).to_owned()
}

/// The folder of a chart.
pub fn chart(name: &str) -> PathBuf {
    root().join("charts").join(name)
}

/// One of the files of values that lie in the chart for its tests.
pub fn values(file: &str) -> PathBuf {
    chart("coalition").join(format!("ci/{file}-values.yaml"))
}

/// The names of all of them, sorted.
pub fn all_values() -> Result<Vec<String>> {
    let folder = chart("coalition").join("ci");
    let mut names = Vec::new();
    for entry in std::fs::read_dir(&folder).with_context(|| format!("cannot list {}", folder.display()))? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        let name = name.strip_suffix("-values.yaml").with_context(|| format!("{name} is no file of values"))?;
        names.push(name.to_owned());
    }
    names.sort();
    Ok(names)
}

/// The objects in a text of several documents.
pub fn objects(text: &str) -> Result<Vec<Value>> {
    let all: Vec<Value> = serde_saphyr::from_multiple(text).context("what was rendered is no YAML")?;
    Ok(all.into_iter().filter(|v| !v.is_null()).collect())
}

/// `Kind namespace/name` of an object.
pub fn title(object: &Value) -> String {
    let text = |at: &str| object.pointer(at).and_then(Value::as_str).unwrap_or_default();
    match text("/metadata/namespace") {
        "" => format!("{} {}", text("/kind"), text("/metadata/name")),
        namespace => format!("{} {namespace}/{}", text("/kind"), text("/metadata/name")),
    }
}
