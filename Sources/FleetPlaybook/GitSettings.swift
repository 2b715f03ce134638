/// How every git that fleet starts is started, here and on hosts.
///
/// What would change its output, what it writes, or which refs and hooks it uses is overridden, whatever
/// the account's, the machine's or the repository's configuration says. What says how to reach a remote or
/// who may read (`credential.*`, `url.*`, `http.*`, `core.sshCommand`, `safe.directory`, `filter.*`,
/// `user.*`, `gpg.*`) stays the account's. `docs/observations.md` has both lists (git-config(1)).
public enum GitSettings {
    /// Settings that are given with `-c`, which wins over every file.
    public static let pinned: [(name: String, value: String)] = [
        // What is printed.
        ("color.ui", "false"), ("color.branch", "false"), ("color.diff", "false"),
        ("color.status", "false"), ("column.ui", "never"), ("column.branch", "never"),
        ("column.tag", "never"), ("column.status", "never"), ("core.quotePath", "false"),
        ("core.abbrev", "auto"), ("log.showSignature", "false"), ("log.mailmap", "true"),
        ("log.decorate", "false"), ("log.follow", "false"), ("log.date", "default"),
        ("log.diffMerges", "separate"), ("diff.orderFile", "/dev/null"), ("diff.external", ""),
        ("diff.ignoreSubmodules", "none"), ("diff.noprefix", "false"),
        ("diff.mnemonicPrefix", "false"), ("diff.renames", "false"), ("format.pretty", "medium"),
        ("status.showUntrackedFiles", "normal"), ("status.submoduleSummary", "false"),
        ("tag.sort", "refname"), ("branch.sort", "refname"), ("versionsort.suffix", ""),
        ("i18n.logOutputEncoding", "utf-8"), ("advice.detachedHead", "false"),
        ("help.autoCorrect", "0"),
        // Which refs, remotes and programs.
        ("core.hooksPath", "/dev/null"), ("core.fsmonitor", "false"),
        ("clone.defaultRemoteName", "origin"), ("init.templateDir", ""),
        ("init.defaultBranch", "main"), ("fetch.prune", "false"),
        ("fetch.pruneTags", "false"), ("fetch.recurseSubmodules", "false"),
        ("fetch.writeCommitGraph", "false"), ("remote.origin.prune", "false"),
        ("remote.origin.pruneTags", "false"), ("push.default", "nothing"),
        ("push.followTags", "false"), ("push.gpgSign", "false"),
        ("push.recurseSubmodules", "no"), ("push.autoSetupRemote", "false"),
        ("commit.gpgSign", "false"), ("tag.gpgSign", "false"),
        ("tag.forceSignAnnotated", "false"), ("gc.auto", "0"), ("maintenance.auto", "false"),
        ("protocol.ext.allow", "never"),
    ]

    /// The same for what git writes into a work tree, and what it takes for a change there.
    ///
    /// For hosts, whose files are to be the commit's bytes; in a person's own clone these stay theirs.
    public static let pinnedForTrees: [(name: String, value: String)] = [
        ("core.autocrlf", "false"), ("core.eol", "lf"), ("core.safecrlf", "false"),
        ("core.attributesFile", "/dev/null"), ("core.excludesFile", "/dev/null"),
        ("core.trustctime", "true"), ("core.checkStat", "default"), ("core.ignoreStat", "false"),
        ("core.untrackedCache", "false"),
        // A file system that knows neither cannot hold a release as it is.
        ("core.fileMode", "true"), ("core.symlinks", "true"),
        ("core.splitIndex", "false"), ("index.sparse", "false"), ("checkout.guess", "false"),
        ("checkout.workers", "1"), ("submodule.recurse", "false"),
    ]

    /// The options before the verb, for hosts.
    public static let hostOptions = options(pinned + pinnedForTrees)
    /// The options before the verb, in a person's clone.
    public static let localOptions = options(pinned)

    private static func options(_ settings: [(name: String, value: String)]) -> [String] {
        ["--no-pager", "--no-replace-objects"]
            + settings.flatMap { ["-c", "\($0.name)=\($0.value)"] }
    }

    /// Variables that git starts without: those that tie it to one repository
    /// (`git rev-parse --local-env-vars`; git sets them for its hooks), and those that change what it prints.
    ///
    /// `GIT_CONFIG_COUNT` stays: people give credentials by it, and ``pinned`` wins over it.
    public static let cleared = [
        "GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_INDEX_VERSION", "GIT_PREFIX",
        "GIT_OBJECT_DIRECTORY", "GIT_ALTERNATE_OBJECT_DIRECTORIES", "GIT_COMMON_DIR",
        "GIT_CONFIG", "GIT_CONFIG_PARAMETERS", "GIT_GRAFT_FILE", "GIT_SHALLOW_FILE",
        "GIT_NO_REPLACE_OBJECTS", "GIT_REPLACE_REF_BASE", "GIT_IMPLICIT_WORK_TREE",
        "GIT_INTERNAL_SUPER_PREFIX", "GIT_QUARANTINE_PATH", "GIT_NAMESPACE", "GIT_ATTR_SOURCE",
        "GIT_LITERAL_PATHSPECS", "GIT_GLOB_PATHSPECS", "GIT_NOGLOB_PATHSPECS",
        "GIT_ICASE_PATHSPECS", "GIT_EXTERNAL_DIFF", "GIT_DIFF_OPTS", "GIT_DEFAULT_HASH",
        "GIT_DEFAULT_REF_FORMAT", "GIT_DISCOVERY_ACROSS_FILESYSTEM", "GIT_OPTIONAL_LOCKS",
        "GIT_REFLOG_ACTION", "GIT_TRACE", "GIT_TRACE_SETUP", "GIT_TRACE_PACKET",
        "GIT_TRACE_PERFORMANCE", "GIT_TRACE_CURL", "GIT_TRACE2", "GIT_TRACE2_EVENT",
        "GIT_TRACE2_PERF", "GIT_CURL_VERBOSE", "GIT_EDITOR", "GIT_SEQUENCE_EDITOR",
        "GIT_NOTES_REF",
    ]

    /// The name of a tag as git shows it, without `refs/tags/`: `%(refname:short)` would write `tags/v1`
    /// where a branch has the same name.
    public static let tagName = "%(refname:strip=2)"
}
