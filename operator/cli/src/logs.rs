//! `logs SITE`: what supervisors and workers of a site wrote.
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use coalition_local::control::POLL;
use coalition_local::{Layout, LocalError, exit_code};
use coalition_protocol::SiteId;

use crate::args::Logs;
use crate::out::{self, say};
use crate::style;

/// Most of a log that is read for its last lines.
const TAIL: u64 = 4 << 20;

/// Shows logs.
pub fn logs(l: &Logs) -> Result<u8, LocalError> {
    let layout = crate::find::layout(&l.dir)?;
    let no_site = || LocalError::NoSite { site: l.site.clone(), sites: sites(&layout).join(", ") };
    let site: SiteId = l.site.parse().map_err(|_| no_site())?;
    if !layout.site(&site).is_dir() {
        return Err(no_site());
    }
    let mut open = Vec::new();
    let all = workers(&layout, &site);
    for worker in all.iter().copied().filter(|w| l.worker.is_none_or(|x| x == *w)) {
        let path = layout.log(&site, worker);
        let file = File::open(&path).map_err(|e| LocalError::read(&path, &e))?;
        open.push((worker, path, file));
    }
    if open.is_empty() {
        let path = l.worker.map_or_else(|| layout.logs(&site), |w| layout.log(&site, w));
        let what = if all.is_empty() {
            "no such log: no worker of this site has started yet".to_owned()
        } else {
            let there = all.iter().map(u32::to_string).collect::<Vec<_>>().join(", ");
            format!("no such log: this site has those of worker {there}")
        };
        return Err(LocalError::Input { path, what });
    }
    let many = open.len() > 1;
    for (worker, path, file) in &mut open {
        head(many, *worker);
        last_lines(path, file, l.tail)?;
    }
    let mut spoke = None;
    if !l.follow {
        return Ok(exit_code::OK);
    }
    loop {
        std::thread::sleep(POLL);
        for (worker, path, file) in &mut open {
            let mut new = Vec::new();
            file.read_to_end(&mut new).map_err(|e| LocalError::read(path, &e))?;
            if !new.is_empty() {
                if spoke != Some(*worker) {
                    head(many, *worker);
                    spoke = Some(*worker);
                }
                out::bytes(&new);
            }
        }
    }
}

fn head(many: bool, worker: u32) {
    if many {
        say!("{}", style::strong(&format!("==> worker {worker} <==")));
    }
}

fn last_lines(path: &Path, file: &mut File, lines: usize) -> Result<(), LocalError> {
    let unreadable = |e: std::io::Error| LocalError::read(path, &e);
    let size = file.metadata().map_err(unreadable)?.len();
    file.seek(SeekFrom::Start(size.saturating_sub(TAIL))).map_err(unreadable)?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).map_err(unreadable)?;
    let ends: Vec<usize> = bytes.iter().enumerate().filter(|(_, b)| **b == b'\n').map(|(n, _)| n + 1).collect();
    let from = ends.len().checked_sub(lines + 1).map_or(0, |n| ends[n]);
    out::bytes(&bytes[from..]);
    Ok(())
}

/// Sites of a state folder, by name.
pub fn sites(layout: &Layout) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(layout.dir().join("sites")) else { return Vec::new() };
    let mut names: Vec<String> = entries.flatten().map(|e| e.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

fn workers(layout: &Layout, site: &SiteId) -> Vec<u32> {
    let Ok(entries) = std::fs::read_dir(layout.logs(site)) else { return Vec::new() };
    let number = |name: &str| name.strip_prefix("worker-")?.strip_suffix(".log")?.parse().ok();
    let mut all: Vec<u32> = entries.flatten().filter_map(|e| number(&e.file_name().to_string_lossy())).collect();
    all.sort_unstable();
    all
}
