//! Where a store lies, as written in configuration. Holds no secrets when printed. Knows nothing of what is stored.
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use crate::error::StoreError;

/// A store's location: a folder's path, `file://` and such a path, `memory:`, or `s3://BUCKET/PREFIX`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Location {
    /// A folder; it is made if it is missing.
    Folder(PathBuf),
    /// The memory of this process, gone with it. For tests.
    Memory,
    /// A bucket of an S3-like service.
    S3(S3),
}

/// A bucket and how to reach it.
#[derive(Clone, PartialEq, Eq)]
pub struct S3 {
    /// Base address of the service, `http://127.0.0.1:7070`; absent means AWS.
    pub endpoint: Option<String>,
    /// The bucket.
    pub bucket: String,
    /// Folder in the bucket; may be empty.
    pub prefix: String,
    /// Region.
    pub region: String,
    /// Access key; absent means: find credentials as AWS tools do (environment, instance metadata).
    pub credentials: Option<(String, String)>,
    /// Allows an endpoint on another machine over plain HTTP, as `COALITION_S3_PLAIN_HTTP=1` does.
    pub plain_http: bool,
}

impl fmt::Debug for S3 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Never the credentials.
        write!(f, "S3({self})")
    }
}

impl fmt::Display for S3 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "s3://{}", self.bucket)?;
        if !self.prefix.is_empty() {
            write!(f, "/{}", self.prefix)?;
        }
        if let Some(e) = &self.endpoint {
            write!(f, " at {e}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder(p) => write!(f, "folder {}", p.display()),
            Self::Memory => f.write_str("memory"),
            Self::S3(s) => s.fmt(f),
        }
    }
}

impl FromStr for Location {
    type Err = StoreError;

    /// An `s3://` location takes endpoint, region and credentials from `AWS_ENDPOINT_URL`, `AWS_REGION` and what
    /// AWS tools use.
    fn from_str(s: &str) -> Result<Self, StoreError> {
        let bad = |reason: &str| StoreError::BadLocation { location: s.to_owned(), reason: reason.to_owned() };
        if s == "memory:" {
            return Ok(Self::Memory);
        }
        if let Some(rest) = s.strip_prefix("s3://") {
            let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
            let prefix = prefix.trim_matches('/');
            if bucket.is_empty() {
                return Err(bad("the bucket is missing; write s3://BUCKET/PREFIX"));
            }
            if !prefix.is_empty() {
                crate::key::path(prefix)?;
            }
            let var = |name: &str| std::env::var(name).ok().filter(|v| !v.is_empty());
            return Ok(Self::S3(S3 {
                endpoint: var("AWS_ENDPOINT_URL"),
                bucket: bucket.to_owned(),
                prefix: prefix.to_owned(),
                region: var("AWS_REGION").unwrap_or_else(|| "us-east-1".to_owned()),
                credentials: None,
                plain_http: false,
            }));
        }
        let path = s.strip_prefix("file://").unwrap_or(s);
        if path.is_empty() || (path == s && s.contains("://")) {
            return Err(bad("write a folder's path, file:///PATH, s3://BUCKET/PREFIX or memory:"));
        }
        Ok(Self::Folder(PathBuf::from(path)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_people_write() {
        assert_eq!("/a/b".parse::<Location>().unwrap(), Location::Folder("/a/b".into()));
        assert_eq!("file:///a/b".parse::<Location>().unwrap(), Location::Folder("/a/b".into()));
        assert_eq!("memory:".parse::<Location>().unwrap(), Location::Memory);
        match "s3://bucket/some/where/".parse::<Location>().unwrap() {
            Location::S3(s) => assert_eq!((s.bucket.as_str(), s.prefix.as_str()), ("bucket", "some/where")),
            other => panic!("{other}"),
        }
        for wrong in ["", "s3://", "s3:///x", "gs://b", "s3://b/../x"] {
            assert!(wrong.parse::<Location>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn never_prints_credentials() {
        let s = S3 {
            endpoint: None,
            bucket: "b".into(),
            prefix: String::new(),
            region: "r".into(),
            credentials: Some(("id".into(), "hush".into())),
            plain_http: false,
        };
        let all = format!("{s} {s:?} {:?} {}", Location::S3(s.clone()), Location::S3(s.clone()));
        assert!(!all.contains("hush"), "{all}");
    }
}
