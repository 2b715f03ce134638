internal import FleetTransport

/// An address that a provider's deliveries come to, and what they lead to.
public struct Hook: Sendable, Hashable {
    /// Whose form and signatures deliveries have: fixed by the file, never guessed from a request.
    public enum Provider: String, Sendable, Hashable, CaseIterable {
        /// GitHub: `X-Hub-Signature-256`.
        case github
        /// GitLab: Standard Webhooks, or the older `X-Gitlab-Token`.
        case gitlab
        /// Gitea: `X-Gitea-Signature`.
        case gitea
        /// Forgejo: `X-Forgejo-Signature`, or Gitea's.
        case forgejo
        /// Any sender of Standard Webhooks (standardwebhooks.com).
        case standard
    }

    /// Which environments want what arrives.
    public struct Rule: Sendable, Hashable {
        /// What a rule watches.
        public enum Watched: Sendable, Hashable {
            /// A branch, by its name.
            case branch(String)
            /// Tags, by a pattern as in `v*`.
            case tags(String)
        }

        /// What is watched.
        public let watched: Watched
        /// The environments, each after the one before it has succeeded.
        public let environments: [String]
        /// Whether a commit has to pass CI first, and which workflow, pipeline or status says so.
        public let afterCI: CIGate?

        /// Creates a rule.
        public init(watched: Watched, environments: [String], afterCI: CIGate? = nil) {
            self.watched = watched
            self.environments = environments
            self.afterCI = afterCI
        }

        /// Whether a ref, as in `refs/heads/main`, is watched.
        public func wants(_ ref: String) -> Bool {
            switch watched {
            case .branch(let name): ref == "refs/heads/" + name
            case .tags(let pattern):
                ref.hasPrefix("refs/tags/")
                    && Glob.matches(pattern, String(ref.dropFirst("refs/tags/".count)))
            }
        }
    }

    /// What says that a commit has passed CI.
    public enum CIGate: Sendable, Hashable {
        /// Any workflow, pipeline or status.
        case any
        /// The one with this name.
        case named(String)

        /// Whether a result counts.
        public func accepts(_ name: String) -> Bool {
            switch self {
            case .any: true
            case .named(let wanted): wanted == name
            }
        }
    }

    /// Its name, which is the end of its address: `/hooks/NAME`.
    public let name: String
    /// Whose deliveries come to it.
    public let provider: Provider
    /// The secrets that sign deliveries; the second one is for the time when it is being replaced.
    public let secrets: [ServerFile.Secret]
    /// Whether GitLab's unsigned token is accepted.
    public let acceptsToken: Bool
    /// The repository that is asked for what its refs point at; its address stands here and nowhere in a delivery.
    public let repository: String
    /// The name that a delivery's body has to have for the repository, as in `acme/shop`; nil if it is not looked at.
    public let project: String?
    /// What is watched.
    public let rules: [Rule]
    /// How often the refs are looked at without being told, in milliseconds.
    public let pollMilliseconds: Int

    /// Describes a hook; the parameters are its properties.
    public init(
        name: String,
        provider: Provider,
        secrets: [ServerFile.Secret],
        acceptsToken: Bool,
        repository: String,
        project: String?,
        rules: [Rule],
        pollMilliseconds: Int
    ) {
        self.name = name
        self.provider = provider
        self.secrets = secrets
        self.acceptsToken = acceptsToken
        self.repository = repository
        self.project = project
        self.rules = rules
        self.pollMilliseconds = pollMilliseconds
    }
}
