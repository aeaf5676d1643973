//! Real Kubernetes clusters, several side by side on one machine, in namespaces from which no packet leaves; what can go
//! wrong with them, as data.
//!
//! ```no_run
//! # fn main() -> anyhow::Result<()> {
//! use coalition_cluster::{Fault, Link, Spec, World};
//!
//! let world = World::start()?;
//! let hub = world.cluster(Spec::api("hub"))?;
//! let north = world.cluster(Spec::whole("north", 2))?;
//! world.run(async {
//!     println!("{:?}", hub.client().await?.apiserver_version().await?);
//!     Ok(())
//! })?;
//! north.apply(&Fault::Partition(Link::Site))?;
//! println!("{}", north.kubectl(&["get", "nodes"])?); // from inside: the site goes on
//! # Ok(())
//! # }
//! ```
//!
//! All of it ends with the program that started it, however that ends. Must not know what is deployed: no operator, no
//! trainer, no planner.

mod apply;
mod audit;
mod cgroups;
mod cluster;
mod control;
mod dns;
mod fakes;
mod fault;
mod flags;
pub mod image;
mod machine;
mod namespaces;
mod node;
mod pki;
mod process;
mod program;
mod s3;
mod spec;
pub mod tools;
pub mod wait;
mod world;

pub use audit::Asked;
pub use cluster::Cluster;
pub use fakes::FAKE;
pub use fault::{Fault, Link, Place, Target};
pub use image::Image;
pub use s3::S3;
pub use spec::Spec;
pub use world::{ADDRESS, KEEP, MACHINES, World};
