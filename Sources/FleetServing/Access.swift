/// Something that a person may have the right to do through a server.
public enum Right: String, Sendable, Hashable, CaseIterable {
    /// Look at an environment: what runs there, its rollouts, their output.
    case view
    /// Deploy, promote, and have a delivery played again.
    case deploy
    /// Ask a rollout to stop.
    case stop
    /// Put hosts back, and take up what was interrupted.
    case revert
    /// Approve a release, and withdraw that.
    case approve
    /// Go on although a rule of the environment's policy forbids it.
    case override
    /// Agree to what the project's files do, see and end other people's sessions and tokens, export the audit.
    case administer
}

/// What a person is in an environment.
public enum Role: String, Sendable, Hashable, CaseIterable, Codable {
    /// May look.
    case see
    /// May deploy, stop and put back.
    case deploy
    /// May approve and stop.
    case approve
    /// May do everything.
    case admin

    /// What a role may do: the only place that says so.
    public static let matrix: [Role: Set<Right>] = [
        .see: [.view],
        .deploy: [.view, .deploy, .stop, .revert],
        .approve: [.view, .approve, .stop],
        .admin: Set(Right.allCases),
    ]

    /// Whether a role includes a right.
    public func allows(_ right: Right) -> Bool { Self.matrix[self]?.contains(right) ?? false }
}

/// The roles of an account, by environment.
public struct Roles: Sendable, Hashable, Codable {
    /// The name that stands for every environment that is not named.
    public static let everywhere = "*"

    /// The roles in each environment; ``everywhere`` for those that are not named.
    public let byEnvironment: [String: Set<Role>]

    /// Creates the roles of an account.
    public init(_ byEnvironment: [String: Set<Role>]) { self.byEnvironment = byEnvironment }

    /// Whether there is a right in an environment.
    ///
    /// - Parameters:
    ///   - right: The right.
    ///   - environment: The environment; nil for what concerns the server as a whole. That can be administered only by
    ///     whoever is an administrator everywhere; everything else is allowed there if it is allowed anywhere.
    /// - Returns: Whether it does.
    public func allow(_ right: Right, in environment: String?) -> Bool {
        guard let environment else {
            if right == .administer {
                return byEnvironment[Self.everywhere]?.contains { $0.allows(right) } ?? false
            }
            return byEnvironment.values.contains { $0.contains { $0.allows(right) } }
        }
        let roles = byEnvironment[environment] ?? byEnvironment[Self.everywhere] ?? []
        return roles.contains { $0.allows(right) }
    }
}

/// What an API token may do: never more than its owner may.
public enum TokenScope: String, Sendable, Hashable, CaseIterable, Codable {
    /// Look.
    case read
    /// Whatever its owner may do, but nothing in a protected environment.
    case write
    /// The same in a protected environment.
    case production

    /// Whether tokens with some scopes may do something.
    ///
    /// - Parameters:
    ///   - scopes: What the token may do.
    ///   - right: The right.
    ///   - isProtected: Whether it concerns a protected environment.
    /// - Returns: Whether it does.
    public static func allow(_ scopes: Set<TokenScope>, _ right: Right, isProtected: Bool) -> Bool {
        switch right {
        case .view: !scopes.isEmpty
        // A token is for programs: people administer in a browser, where they sign in.
        case .administer: false
        case .deploy, .stop, .revert, .approve, .override:
            isProtected
                ? scopes.contains(.production)
                : scopes.contains(.write) || scopes.contains(.production)
        }
    }
}
