/// A release that a rule wants in an environment.
public struct Wish: Sendable, Hashable {
    /// How far a wish has come.
    public enum State: Sendable, Hashable, Codable {
        /// CI has not passed the commit yet.
        case awaitingCI
        /// It can be prepared.
        case queued
        /// The environment's policy stands in the way, or something else does: in words.
        case held(reasons: [String])
        /// It is being started: the plan's digest, and when, in milliseconds since 1970.
        case starting(digest: String, at: Int)
        /// It is carried out.
        case running(rollout: String)
        /// The rollout came to its end.
        case done(rollout: String, outcome: String)
        /// It could not be begun: in words.
        case refused(reason: String)
        /// Something newer was wanted, or somebody dropped it: in words.
        case dropped(reason: String)

        /// Whether nothing more happens to it.
        public var isOver: Bool {
            switch self {
            case .awaitingCI, .queued, .held, .starting, .running: false
            case .done, .refused, .dropped: true
            }
        }

        /// Whether it waits, and something newer may take its place.
        public var isWaiting: Bool {
            switch self {
            case .awaitingCI, .queued, .held: true
            case .starting, .running, .done, .refused, .dropped: false
            }
        }

        /// The word for it, in pages and JSON.
        public var word: String {
            switch self {
            case .awaitingCI: "awaiting CI"
            case .queued: "queued"
            case .held: "held"
            case .starting: "starting"
            case .running: "running"
            case .done(_, let outcome): outcome
            case .refused: "refused"
            case .dropped: "dropped"
            }
        }
    }

    /// Its number; 0 before it is stored.
    public var id: Int
    /// Where the release is wanted.
    public let environment: String
    /// Where it is wanted after that, in order.
    public let later: [String]
    /// The hook whose rule wants it.
    public let hook: String
    /// The ref: `refs/heads/main` or `refs/tags/v1.2.0`.
    public let ref: String
    /// The commit that the ref pointed at.
    public let commit: String
    /// Whoever caused it.
    public let person: HookFacts.Person
    /// The delivery that told of it; nil if it was found by looking, or follows from another environment.
    public let delivery: Int?
    /// When it was wanted, in milliseconds since 1970.
    public let unixMilliseconds: Int
    /// What says that the commit has passed CI; nil if nothing has to.
    public let gate: Hook.CIGate?
    /// How far it has come.
    public var state: State

    /// Creates a wish.
    public init(
        id: Int = 0,
        environment: String,
        later: [String],
        hook: String,
        ref: String,
        commit: String,
        person: HookFacts.Person,
        delivery: Int?,
        unixMilliseconds: Int,
        gate: Hook.CIGate? = nil,
        state: State = .queued
    ) {
        self.id = id
        self.environment = environment
        self.later = later
        self.hook = hook
        self.ref = ref
        self.commit = commit
        self.person = person
        self.delivery = delivery
        self.unixMilliseconds = unixMilliseconds
        self.gate = gate
        self.state = state
    }

    /// Whether it is a release that other environments wait for.
    var isOnItsWay: Bool { tag != nil && !later.isEmpty }

    /// Whether it has run, or may yet.
    var mayHaveRun: Bool {
        switch state {
        case .refused, .dropped: false
        case .done(_, let outcome): outcome != "refused"
        case .awaitingCI, .queued, .held, .starting, .running: true
        }
    }

    /// The tag; nil for a branch.
    public var tag: String? {
        ref.hasPrefix("refs/tags/") ? String(ref.dropFirst("refs/tags/".count)) : nil
    }

    /// The release as people call it: the tag, or the branch and the commit.
    public var label: String {
        tag ?? "\(ref.dropFirst("refs/heads/".count)) \(commit.prefix(12))"
    }
}
