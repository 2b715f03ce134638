public import FleetTransport
public import FleetYAML

/// What one kind of step is: its keys, what it does on a host, and how that is undone.
///
/// Every kind lives in a file of its own under `Steps/`; nothing about a kind stands elsewhere.
public protocol StepKind: Sendable {
    /// The key that names the kind in a playbook.
    static var key: String { get }
    /// What the kind does, in one sentence.
    static var summary: String { get }
    /// Whether running it twice is the same as running it once, unless the step says otherwise.
    static var isIdempotent: Bool { get }
    /// The step's deadline unless it names one, in milliseconds.
    static var defaultTimeoutMilliseconds: Int { get }

    /// Reads the kind's own keys; nil after reporting what is wrong.
    init?(_ node: YAMLNode, reader: YAMLReader)

    /// What the step does on a host.
    func action(in scope: StepScope) throws(UndefinedReference) -> Action
    /// What undoes it when the playbook has no `revert:`; nil if there is nothing to do.
    func revertAction(in scope: StepScope, isIdempotent: Bool) throws(UndefinedReference) -> Action?
    /// A read-only script that refuses the rollout before anything is touched by exiting non-zero
    /// after printing why, and otherwise prints `name=value` facts for the snapshot.
    func preflight(in scope: StepScope) throws(UndefinedReference) -> Script?
    /// A read-only script that exits 0 only if the step's effect is still there.
    func verification(in scope: StepScope) throws(UndefinedReference) -> Script?
    /// The directory in which later steps run unless they name one.
    func directoryForLaterSteps(in scope: StepScope) throws(UndefinedReference) -> String?

    /// What is still to be done once every step has gone back.
    ///
    /// - Throws: ``UndefinedReference``.
    func lastRevertAction(in scope: StepScope) throws(UndefinedReference) -> Action?

    /// Where what later steps are going to replace is before the rollout.
    ///
    /// - Throws: ``UndefinedReference``.
    func directoryBefore(in scope: StepScope) throws(UndefinedReference) -> String?
    /// The local files that the step needs in an environment, as the playbook names them.
    func localFiles(in environment: String) -> [String]
    /// What matters of those files besides their bytes.
    var reading: LocalFile.Reading { get }
    /// Whether the step's own way back puts everything back that it changed.
    var isUndoable: Bool { get }
    /// Whether ``verification(in:)`` is asked once more behind the smoke tests, to see whether what it found
    /// has lasted.
    var isWatched: Bool { get }

    /// Whether processes from before the step may go on running behind it, and are right to.
    var leavesProcesses: Bool { get }
}

/// A kind of step that puts a release on the host.
public protocol ReleaseStepKind: StepKind {
    /// Where hosts get releases from.
    var source: ReleaseSource { get }
    /// A read-only script that says what the host's repository holds already: `has` if it is the
    /// release, else one commit or tag to a line, whose histories are there.
    func holding(in scope: StepScope) throws(UndefinedReference) -> Script
    /// A read-only script that prints the repository's refs, as `git ls-remote` does.
    func listing(in scope: StepScope) throws(UndefinedReference) -> Script
    /// A read-only script that prints what is deployed, as `state=`, `commit=` and `tag=` facts.
    func reading(in scope: StepScope) throws(UndefinedReference) -> Script
    /// Takes away what a first deploy put there, without losing anything.
    func removal(in scope: StepScope) throws(UndefinedReference) -> Action
    /// A read-only script that exits 0 only if nothing is deployed.
    func absence(in scope: StepScope) throws(UndefinedReference) -> Script
}

extension StepKind {
    /// Nothing is left to be done.
    public func lastRevertAction(in scope: StepScope) throws(UndefinedReference) -> Action? { nil }
    /// No check before the rollout.
    public func preflight(in scope: StepScope) throws(UndefinedReference) -> Script? { nil }
    /// No check afterwards.
    public func verification(in scope: StepScope) throws(UndefinedReference) -> Script? { nil }
    /// The same before and after.
    public func directoryBefore(in scope: StepScope) throws(UndefinedReference) -> String? {
        try directoryForLaterSteps(in: scope)
    }
    /// Later steps run where they would have run.
    public func directoryForLaterSteps(in scope: StepScope) throws(UndefinedReference) -> String? {
        nil
    }
    /// No local file.
    public func localFiles(in environment: String) -> [String] { [] }
    /// Files are bytes.
    public var reading: LocalFile.Reading { .bytes }
    /// What it put there does not go away by itself.
    public var isWatched: Bool { false }

    /// False.
    public var leavesProcesses: Bool { false }
    /// Uploads are.
    public var isUndoable: Bool { isUpload }
    /// Whether the step puts a local file on the host.
    public var isUpload: Bool { !localFiles(in: "any").isEmpty }
}

/// Every step kind there is.
public enum StepKinds {
    /// The kinds, in the order of the documentation.
    public static let all: [any StepKind.Type] = [
        RunStep.self, CheckoutStep.self, ReleasesStep.self, SwitchStep.self, UploadStep.self,
        TemplateStep.self, EnvFileStep.self, ServiceStep.self, WaitStep.self, BackupStep.self,
        RestoreStep.self,
    ]
}

/// What one kind of smoke test asks of a host.
public protocol SmokeKind: Sendable {
    /// The key that names the kind in a playbook.
    static var key: String { get }
    /// What the kind asks, in one sentence.
    static var summary: String { get }
    /// Reads the kind's own keys; nil after reporting what is wrong.
    init?(_ node: YAMLNode, reader: YAMLReader)
    /// What is asked of a host.
    func action(in scope: StepScope) throws(UndefinedReference) -> Action
    /// What is asked, in a few words.
    var title: String { get }
}

/// Every smoke test kind there is.
public enum SmokeKinds {
    /// The kinds, in the order of the documentation.
    public static let all: [any SmokeKind.Type] = [
        HTTPSmokeTest.self, CommandSmokeTest.self, TCPSmokeTest.self,
    ]
}
