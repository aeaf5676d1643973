//! All campaigns, as data: what each tries, how often, and which bars its figures have to hold. Must not know how trials are run.

/// One campaign.
pub struct Campaign {
    /// Its name, and that of its trials and its result file.
    pub name: &'static str,
    /// What a trial does, in a line.
    pub what: &'static str,
    /// Which program does it.
    pub harness: Harness,
    /// What every trial checks beyond the audit of its harness.
    pub checks: &'static str,
    /// Trials of the bar in full.
    pub trials: u64,
    /// Numbers of the trials that get a row of their own.
    pub figures: &'static [Figure],
}

/// Which program does a campaign's trials.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Harness {
    /// `coalition-e2e`: runs of one machine's processes.
    Laptop,
    /// `coalition-suites`: Coalition installed on real clusters.
    Clusters,
}

impl Harness {
    /// What every trial checks of its run. A result says it, as "0 failed" means no more than what was looked at.
    pub fn audit(self) -> &'static str {
        match self {
            // `verdict::complete` of the harness: from the history and the data alone.
            Self::Laptop => {
                "checked after each trial: the run ended complete at an agreed state; the records form one signed chain; each \
                 position of the data was used at most once, and the used ones make exactly the committed tokens; every \
                 committed batch hash equals the one recomputed from the data"
            }
            // `Books::account` of the suites: from what was ever seen at the API alone.
            Self::Clusters => {
                "checked after each trial, from all that was ever seen at the API: the records form one chain that follows its \
                 rules and never changed; no gang's attempt fell; each position of the data was used at most once, and the used \
                 ones make exactly the committed tokens. Programs as the tests build them (optimisation level 1)"
            }
        }
    }
}

/// A number of each trial, over all trials.
pub struct Figure {
    /// The field in a trial's outcome: a number, or a list of them.
    pub field: &'static str,
    /// The row's name.
    pub name: &'static str,
    /// Its unit.
    pub unit: &'static str,
    /// `OP NUMBER`; empty without a bar.
    pub bar: &'static str,
    /// What is made of the values.
    pub of: Of,
}

/// What is made of the values of all trials.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Of {
    /// The one in the middle.
    Median,
    /// The largest.
    Worst,
    /// All together.
    Sum,
}

impl Figure {
    /// Every campaign has it.
    pub const TIME: Self = Self::median("seconds", "time of a trial, median", "s", "");

    const fn median(field: &'static str, name: &'static str, unit: &'static str, bar: &'static str) -> Self {
        Self { field, name, unit, bar, of: Of::Median }
    }

    const fn worst(field: &'static str, name: &'static str, unit: &'static str, bar: &'static str) -> Self {
        Self { field, name, unit, bar, of: Of::Worst }
    }

    const fn sum(field: &'static str, name: &'static str, unit: &'static str, bar: &'static str) -> Self {
        Self { field, name, unit, bar, of: Of::Sum }
    }
}

/// What the trials of a lost site or store check besides.
const LOSS_CHECKS: &str = "the others committed again after the loss; no commit was held by the victim alone; a victim that came \
                           back has a new incarnation or is retired";
/// The bar is on all kills together: two hundred in a campaign.
const KILLS: &[Figure] = &[
    Figure::median("kills", "kills a trial, median", "kills", ">= 10"),
    Figure::sum("kills", "kills in all", "kills", ">= 200"),
];
/// How soon the others go on; no bar, for it follows from the windows that a run asks for.
const WENT_ON: &[Figure] =
    &[Figure::median("went_on_seconds", "from the loss to the survivor's next commit, median", "s", "")];

/// A trial of a lost site.
const fn loss(name: &'static str, what: &'static str) -> Campaign {
    Campaign { name, what, harness: Harness::Laptop, checks: LOSS_CHECKS, trials: 100, figures: WENT_ON }
}

/// All campaigns. A bar says what must hold after any disturbance: no trial fails, and enough of them really were disturbed. Times
/// are bars on the worst value: who waits for a machine waits for that one.
pub const ALL: &[Campaign] = &[
    Campaign {
        name: "kills",
        what: "ten kill -9 of random processes (worker, supervisor, runner) at random moments a trial; the run ends as if undisturbed",
        harness: Harness::Laptop,
        checks: "the token count is that of the undisturbed run, and no process is left",
        // Some trials end before their tenth kill: four more than 200 kills would need.
        trials: 24,
        figures: KILLS,
    },
    Campaign {
        name: "kills-one-site",
        what: "the same with one site: the final parameters are bit-equal to those of the undisturbed run",
        harness: Harness::Laptop,
        checks: "token count and digest of the final outer state equal those of an undisturbed run that each trial makes beside \
                 it, and no process is left",
        // Some trials end before their tenth kill: four more than 200 kills would need.
        trials: 24,
        figures: KILLS,
    },
    loss(
        "site-loss-offered",
        "a site and its store are lost right after it offered a contribution; the survivors go on",
    ),
    loss("site-loss-held", "a site and its store are lost right after its contribution was held; the survivors go on"),
    loss("site-loss-committed", "a site and its store are lost right after a commit; the survivors go on"),
    loss(
        "store-loss",
        "a site loses its store under its living processes, right after a commit; the others go on and it comes back empty",
    ),
    Campaign {
        name: "cluster-start",
        what: "five runs of two workers a trial, applied one after the other on an idle cluster with the images present",
        harness: Harness::Clusters,
        checks: "each committed a round. Times from the apply of the run; the first step lies before the first commit",
        trials: 4,
        figures: &[
            Figure::worst("pods_seconds", "operator's share: apply to the workers' pods, worst", "s", "<= 1"),
            Figure::worst("running_seconds", "apply to running containers, worst", "s", ""),
            Figure::worst("formed_seconds", "apply to a gang that has met, worst", "s", ""),
            Figure::worst("committed_seconds", "apply to the first committed round, worst", "s", "<= 10"),
        ],
    },
    Campaign {
        name: "cluster-kills",
        what: "a worker's process (eight times), its container, its pod and its node killed, each timed until the gang has met again \
               and until the round after that is committed",
        harness: Harness::Clusters,
        checks: "the run goes on after each",
        trials: 6,
        figures: &[
            Figure::worst("process_formed_seconds", "process killed: met again, worst", "s", ""),
            Figure::worst("process_committed_seconds", "process killed: next commit, worst", "s", "<= 1.5"),
            // A tenth is what eight values of some 0.4 s scatter by, with looks 20 ms apart.
            Figure::median(
                "later_over_earlier",
                "kills 5 to 8 beside kills 1 to 4, ratio of means, median",
                "",
                "<= 1.1",
            ),
            Figure::worst("container_committed_seconds", "container killed: next commit, worst", "s", "<= 6"),
            Figure::worst("pod_committed_seconds", "pod deleted: next commit, worst", "s", "<= 8"),
            Figure::worst("node_noticed_seconds", "node killed: noticed by the cluster, worst", "s", ""),
            Figure::worst(
                "node_after_notice_seconds",
                "node killed: from there to the next commit, worst",
                "s",
                "<= 8",
            ),
        ],
    },
    Campaign {
        name: "cluster-away",
        what: "hub, gateway with courier, all of the operator, API server or etcd (one a trial, in turn) away for a minute",
        harness: Harness::Clusters,
        checks: "the workers' processes were there all the time; afterwards the same pods at the same attempt go on without anybody's \
                 help",
        trials: 5,
        figures: &[Figure::worst("next_commit_seconds", "from the return to the next commit, worst", "s", "")],
    },
    Campaign {
        name: "cluster-histories",
        what: "runs of 24 rounds, five a trial, each disturbed four times at random: hub, gateway and courier killed or their pods \
               deleted, API server or etcd killed for up to 5 s, a worker's process or container killed",
        harness: Harness::Clusters,
        checks: "each ended Complete without anybody's help, with exactly its tokens; no worker was restarted unless a worker was \
                 killed",
        trials: 20,
        figures: &[
            Figure::sum("histories", "histories in all", "runs", ">= 100"),
            Figure::sum("disturbances", "disturbances in all", "faults", ">= 400"),
        ],
    },
    Campaign {
        name: "cluster-stale-worker",
        what: "a worker's machine is cut off (by its cable, or put to sleep, in turn), replaced, and comes back",
        harness: Harness::Clusters,
        checks: "another pod did its work; in five rounds after its return the attempt stayed, and its pod went",
        trials: 6,
        figures: &[Figure::worst("formed_seconds", "from the cut to a gang that has met, worst", "s", "")],
    },
    Campaign {
        name: "cluster-cost",
        what: "the operator's processes watched for two minutes while one run of two workers trains in rounds of some 20 s",
        harness: Harness::Clusters,
        checks: "two replicas of each role; memory is the largest process's, processor time is that of all four",
        trials: 3,
        figures: &[
            Figure::worst("memory_mib", "resident memory of a process, worst", "MiB", "<= 50"),
            Figure::worst("cpu_percent", "processor time of all processes, worst", "% of a core", "<= 0.5"),
            Figure::worst("writes_a_second", "API writes beside leases, pods and events, worst", "a second", "<= 10"),
        ],
    },
    Campaign {
        name: "cluster-many",
        what: "two hundred runs on one cluster, whose nodes are played by kwok and whose workers by one program that speaks their \
               protocol; the operator watched for two minutes while all are within a round",
        harness: Harness::Clusters,
        checks: "each run committed its round; memory is the largest process's, processor time is that of all four",
        trials: 2,
        figures: &[
            Figure::worst("memory_mib", "resident memory of a process, worst", "MiB", "<= 100"),
            Figure::worst("cpu_percent", "processor time of all processes, worst", "% of a core", "<= 1"),
            Figure::worst("writes_a_second", "API writes beside leases, pods and events, worst", "a second", ""),
            Figure::worst(
                "all_begun_seconds",
                "from the first apply to the first round of the last run, worst",
                "s",
                "",
            ),
        ],
    },
];
