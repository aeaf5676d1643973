//! The names of a cluster's Services, answered on each node at the node's own address, as a node-local cache of DNS does. Must
//! not know who asks, nor any name outside of the cluster: nothing there can be reached.
//!
//! A responder of our own: CoreDNS takes four minutes and nine gigabytes of caches to build. Known are A records of Services
//! (`NAME.NAMESPACE.svc.cluster.local`), of headless ones by their endpoints, and of endpoints that have a host name
//! (`HOST.NAME.NAMESPACE.svc.cluster.local`). No SRV, no reverse names, no TCP.

use crate::namespaces;
use anyhow::{Context, Result};
use futures::StreamExt as _;
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::runtime::WatchStreamExt as _;
use kube::runtime::reflector::{Lookup, Store, store};
use kube::runtime::watcher::{Config, watcher};
use kube::{Api, Client};
use serde::de::DeserializeOwned;
use simple_dns::rdata::{A, RData};
use simple_dns::{CLASS, Packet, PacketFlag, QTYPE, RCODE, ResourceRecord, TYPE};
use std::fmt::Debug;
use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use tokio::net::UdpSocket;
use tokio::sync::oneshot;

/// The zone of every cluster.
pub const ZONE: &str = "cluster.local";
/// How long an answer may be kept, seconds: a pod that is made anew shall be found at once.
const TTL: u32 = 1;
/// The longest question taken: one name of 255 bytes and what clients add is far below.
const LONGEST: usize = 1500;

/// A responder on a thread of its own. It ends when this is dropped.
#[derive(Debug)]
pub struct Dns {
    end: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Dns {
    /// Answers at `address`, port 53, in the network of the process `pid`, with what the API server of `kubeconfig` says. The
    /// address is taken when this returns.
    pub fn start(pid: i32, address: Ipv4Addr, kubeconfig: &Path) -> Result<Self> {
        let (end, ended) = oneshot::channel();
        let (taken, is_taken) = std::sync::mpsc::channel();
        let kubeconfig = kubeconfig.to_owned();
        let thread = std::thread::spawn(move || {
            let failed = taken.clone();
            if let Err(error) = serve(pid, address, &kubeconfig, &taken, ended) {
                let _ = failed.send(Err(error));
            }
        });
        is_taken.recv().context("the thread of the names ended")?.context("no names")?;
        Ok(Self { end: Some(end), thread: Some(thread) })
    }
}

impl Drop for Dns {
    fn drop(&mut self) {
        // Its socket would keep the network of a machine alive that has lost its power.
        drop(self.end.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

type Said = std::sync::mpsc::Sender<Result<()>>;

fn serve(pid: i32, address: Ipv4Addr, config: &Path, taken: &Said, ended: oneshot::Receiver<()>) -> Result<()> {
    namespaces::enter_network(pid)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("no runtime")?;
    runtime.block_on(async {
        let socket = UdpSocket::bind((address, 53)).await.with_context(|| format!("{address}:53 cannot be taken"))?;
        let client = crate::control::client(config).await?;
        let names = Names { services: watch(client.clone()), slices: watch(client) };
        let _ = taken.send(Ok(()));
        tokio::select! {
            () = names.answer_all(&socket) => {}
            _ = ended => {}
        }
        Ok(())
    })
}

/// Keeps the newest of every object of a kind, on a task that ends with the runtime.
fn watch<K>(client: Client) -> Store<K>
where
    K: kube::Resource<DynamicType = ()>
        + Lookup<DynamicType = ()>
        + Clone
        + DeserializeOwned
        + Debug
        + Send
        + Sync
        + 'static,
{
    let (reader, writer) = store();
    let objects = watcher(Api::<K>::all(client), Config::default()).default_backoff().reflect(writer);
    // A watch that breaks is begun again: an API server that is down makes what is known older, not unknown.
    tokio::spawn(objects.for_each(|_| async {}));
    reader
}

struct Names {
    services: Store<Service>,
    slices: Store<EndpointSlice>,
}

impl Names {
    async fn answer_all(&self, socket: &UdpSocket) {
        let mut question = [0; LONGEST];
        loop {
            // An error is that of an earlier answer that nobody took.
            let Ok((length, from)) = socket.recv_from(&mut question).await else { continue };
            let (services, slices) = (self.services.state(), self.slices.state());
            // The API server's own Service is there from the first second.
            let known = !services.is_empty();
            if let Some(answer) = answer(&question[..length], known, &services, &slices) {
                let _ = socket.send_to(&answer, from).await;
            }
        }
    }
}

/// The answer to the packet `question`; none to what is no question.
fn answer(question: &[u8], known: bool, services: &[Arc<Service>], slices: &[Arc<EndpointSlice>]) -> Option<Vec<u8>> {
    let asked = Packet::parse(question).ok()?;
    let mut reply = Packet::new_reply(asked.id());
    // So that libc does not take us for one that cannot answer.
    reply.set_flags(PacketFlag::AUTHORITATIVE_ANSWER | PacketFlag::RECURSION_AVAILABLE);
    if asked.has_flags(PacketFlag::RECURSION_DESIRED) {
        reply.set_flags(PacketFlag::RECURSION_DESIRED);
    }
    let one = asked.questions.first()?.clone();
    let name = one.qname.to_string().to_ascii_lowercase();
    match find(&name, services, slices) {
        _ if !known => *reply.rcode_mut() = RCODE::ServerFailure,
        None => *reply.rcode_mut() = RCODE::NameError,
        // A name that has no record of the kind that was asked for is a name all the same.
        Some(addresses) if one.qtype == QTYPE::TYPE(TYPE::A) => {
            let record = |a: Ipv4Addr| ResourceRecord::new(one.qname.clone(), CLASS::IN, TTL, RData::A(A::from(a)));
            reply.answers.extend(addresses.into_iter().map(record));
        }
        Some(_) => {}
    }
    reply.questions.push(one);
    reply.build_bytes_vec().ok()
}

/// The addresses of `name`, in small letters; nothing if there is no such name.
fn find(name: &str, services: &[Arc<Service>], slices: &[Arc<EndpointSlice>]) -> Option<Vec<Ipv4Addr>> {
    let labels: Vec<&str> = name.strip_suffix(ZONE)?.trim_end_matches('.').split('.').collect();
    let (host, service, namespace) = match labels.as_slice() {
        [service, namespace, "svc"] => (None, *service, *namespace),
        [host, service, namespace, "svc"] => (Some(*host), *service, *namespace),
        _ => return None,
    };
    let object = services.iter().find(|object| {
        object.metadata.name.as_deref() == Some(service) && object.metadata.namespace.as_deref() == Some(namespace)
    })?;
    let address = object.spec.as_ref().and_then(|spec| spec.cluster_ip.as_deref()).unwrap_or_default();
    if let (None, Ok(address)) = (host, address.parse()) {
        return Some(vec![address]);
    }
    let of_service = |slice: &&Arc<EndpointSlice>| {
        let label = slice.metadata.labels.as_ref().and_then(|labels| labels.get("kubernetes.io/service-name"));
        slice.metadata.namespace.as_deref() == Some(namespace) && label.is_some_and(|label| label == service)
    };
    let endpoints = slices.iter().filter(of_service).flat_map(|slice| &slice.endpoints);
    let ready = endpoints.filter(|one| one.conditions.as_ref().is_none_or(|is| is.ready != Some(false)));
    let found: Vec<Ipv4Addr> = ready
        .filter(|one| host.is_none_or(|host| one.hostname.as_deref() == Some(host)))
        .flat_map(|one| one.addresses.iter().filter_map(|address| address.parse().ok()))
        .collect();
    // As other servers do: a headless Service without endpoints is a name without addresses, a host that is not there is none.
    (host.is_none() || !found.is_empty()).then_some(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{from_value, json};
    use simple_dns::{Name, QCLASS, Question};

    fn world() -> (Vec<Arc<Service>>, Vec<Arc<EndpointSlice>>) {
        let service = |name: &str, address: &str| {
            let metadata = json!({"name": name, "namespace": "ns"});
            Arc::new(from_value(json!({"metadata": metadata, "spec": {"clusterIP": address}})).unwrap())
        };
        let slice = json!({
            "metadata": {"name": "s", "namespace": "ns", "labels": {"kubernetes.io/service-name": "gang"}},
            "addressType": "IPv4",
            "endpoints": [
                {"addresses": ["10.244.1.5"], "hostname": "w0", "conditions": {"ready": true}},
                {"addresses": ["10.244.2.5"], "hostname": "w1", "conditions": {"ready": false}},
            ],
        });
        (vec![service("web", "10.96.7.7"), service("gang", "None")], vec![Arc::new(from_value(slice).unwrap())])
    }

    fn ask(name: &str, kind: TYPE) -> (RCODE, Vec<Ipv4Addr>) {
        let mut packet = Packet::new_query(7);
        packet.questions.push(Question::new(Name::new(name).unwrap(), kind.into(), QCLASS::CLASS(CLASS::IN), false));
        let (services, slices) = world();
        let said = answer(&packet.build_bytes_vec().unwrap(), true, &services, &slices).unwrap();
        let said = Packet::parse(&said).unwrap();
        assert_eq!((said.id(), said.questions.len()), (7, 1));
        let addresses = said.answers.iter().map(|record| match &record.rdata {
            RData::A(a) => Ipv4Addr::from(a.address),
            other => panic!("{other:?}"),
        });
        (said.rcode(), addresses.collect())
    }

    #[test]
    fn a_service_has_its_address_and_a_headless_one_those_of_its_ready_pods() {
        let a = |name| ask(name, TYPE::A);
        assert_eq!(a("web.ns.svc.cluster.local"), (RCODE::NoError, vec![Ipv4Addr::new(10, 96, 7, 7)]));
        assert_eq!(a("WEB.ns.svc.Cluster.local").0, RCODE::NoError, "letters of any size");
        assert_eq!(a("gang.ns.svc.cluster.local"), (RCODE::NoError, vec![Ipv4Addr::new(10, 244, 1, 5)]));
        assert_eq!(a("w0.gang.ns.svc.cluster.local").1, [Ipv4Addr::new(10, 244, 1, 5)]);
        for name in ["w1.gang.ns.svc.cluster.local", "web.other.svc.cluster.local", "web.ns.svc", "example.org"] {
            assert_eq!(a(name), (RCODE::NameError, vec![]), "{name}");
        }
        assert_eq!(
            ask("web.ns.svc.cluster.local", TYPE::AAAA),
            (RCODE::NoError, vec![]),
            "there, without an IPv6 address"
        );
    }

    #[test]
    fn what_is_not_known_yet_is_not_denied() {
        let mut packet = Packet::new_query(1);
        let name = Name::new("web.ns.svc.cluster.local").unwrap();
        packet.questions.push(Question::new(name, TYPE::A.into(), QCLASS::CLASS(CLASS::IN), false));
        let said = answer(&packet.build_bytes_vec().unwrap(), false, &[], &[]).unwrap();
        assert_eq!(Packet::parse(&said).unwrap().rcode(), RCODE::ServerFailure);
        assert!(answer(b"no packet", true, &[], &[]).is_none());
    }
}
