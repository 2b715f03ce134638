internal import FleetTransport
internal import FleetYAML

/// Where hosts get a release from.
public enum ReleaseSource: Sendable, Hashable {
    /// Each host fetches from the repository itself.
    case remote
    /// The controller sends each host the objects that it lacks, out of a repository of its own: hosts
    /// need neither credentials nor a way to the repository.
    ///
    /// The path is as written, relative to the project.
    case controller(repository: String)

    /// Reads `source` and, with `source: controller`, `repository`.
    static func read(_ fields: YAMLFields, reader: YAMLReader) -> ReleaseSource {
        switch fields.text("source") ?? "remote" {
        case "remote": return .remote
        case "controller":
            let path = fields.text("repository") ?? "."
            if path.contains("${{") || path.contains("://") {
                reader.report(
                    "with `source: controller` the `repository` is a path on this machine",
                    at: fields.location(of: "repository"),
                    hints: ["leave it out for the repository that the project is in"]
                )
            }
            return .controller(repository: path)
        case let other:
            reader.report(
                "`\(other)` is nowhere that a release comes from",
                at: fields.location(of: "source"),
                hints: ["one of: remote, controller"]
            )
            return .remote
        }
    }

    var isController: Bool { self != .remote }
}

/// A git bundle with exactly the objects of a release that a host lacks.
public struct ReleaseBundle: Sendable, Hashable {
    /// The bundle.
    public let file: LocalFile
    /// The commits that the host must still hold, with their histories.
    public let basis: [String]

    /// Describes a bundle.
    public init(file: LocalFile, basis: [String]) {
        self.file = file
        self.basis = basis
    }

    /// The name that the release has in a bundle.
    public static func reference(to commit: String) -> String { "refs/fleet/outgoing/\(commit)" }

    /// Shell functions for hosts, in the library ``ScriptLibrary/git``.
    ///
    /// `expect` says in preflight whether what will be sent can be taken; `receive` takes it into the
    /// repository at `FLEET_PATH`. Where the account that deploys is not the one that logs in, the
    /// bytes wait in its own directory.
    static let functions =
        HostTools.sha256 + #"""
            expect() {
                ! no_sha || exit 1
                [ -n "$FLEET_BUNDLE" ] ||
                    fail "E_BUNDLE $FLEET_COMMIT is not on this host, and nothing was made to be sent: plan again"
                for c in $FLEET_BASIS; do
                    g cat-file -e "$c^{commit}" 2>/dev/null ||
                        fail "E_CHANGED $FLEET_PATH does not hold $c any more, which it held a moment ago"
                done
            }
            receive() {
                [ -z "${FLEET_PRESENT:-}" ] || return 0
                [ -n "$FLEET_BUNDLE" ] || fail "E_BUNDLE $FLEET_COMMIT is not on this host"
                file=${FLEET_UPLOAD:-$HOME/.fleet/incoming-$FLEET_BUNDLE}
                [ "$($sha <"$file" | cut -c1-64)" = "$FLEET_BUNDLE" ] ||
                    fail "E_BUNDLE the bytes that arrived are not the bundle's"
                seen=$(g fetch --quiet --no-tags -- "$file" \
                    "+refs/fleet/outgoing/$FLEET_COMMIT:refs/fleet/release" 2>&1) || fail "E_BUNDLE $seen"
                rm -f "$file"
            }

            """#

    /// What ``functions`` need.
    static func variables(in scope: StepScope) -> [EnvironmentVariable] {
        [
            EnvironmentVariable("FLEET_BASIS", scope.bundle?.basis.joined(separator: " ") ?? ""),
            EnvironmentVariable("FLEET_BUNDLE", scope.bundle?.file.sha256 ?? ""),
        ]
    }

    /// The step that takes a release: an upload where something is to be sent.
    ///
    /// - Parameters:
    ///   - finish: Calls `receive`, and does everything else.
    ///   - presence: Prints ``FleetTransport/Upload/presentMark`` if nothing need be sent.
    ///   - scope: The host.
    /// - Returns: The step's action.
    static func action(_ finish: Script, unless presence: Script, in scope: StepScope) -> Action {
        guard let file = scope.bundle?.file else { return .script(finish) }
        let handOver = scope.becomeUser.map {
            Script(
                #"umask 077; mkdir -p "$HOME/.fleet" && cat >"$HOME/.fleet/incoming-$FLEET_BUNDLE""#,
                environment: [EnvironmentVariable("FLEET_BUNDLE", file.sha256)],
                becomeUser: $0
            )
        }
        return .upload(
            Upload(
                source: file.path,
                sizeBytes: file.sizeBytes,
                sha256: file.sha256,
                handOver: handOver,
                prepare: presence,
                finish: finish
            )
        )
    }
}
