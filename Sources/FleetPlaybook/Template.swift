internal import FleetTransport
public import FleetYAML

/// Text with `${{ vars.name }}` references in it.
///
/// A reference never becomes shell source: in a script it turns into an environment variable.
public struct Template: Sendable, Hashable {
    /// Something a playbook may refer to.
    public enum Reference: Sendable, Hashable {
        /// `vars.NAME`: a variable of the inventory, the playbook or the command line.
        case variable(String)
        /// `host.name`: the host's name in the inventory.
        case hostName
        /// `host.address`: the address that fleet connects to.
        case hostAddress
        /// `environment.name`: the environment's name.
        case environmentName
        /// `release.tag`: the tag being deployed; empty if the release has none.
        case releaseTag
        /// `release.commit`: the full commit id being deployed.
        case releaseCommit

        /// The environment variable that carries the value into a script.
        var variableName: String {
            switch self {
            case .variable(let name): "FLEET_VAR_\(name)"
            case .hostName: "FLEET_HOST"
            case .hostAddress: "FLEET_ADDRESS"
            case .environmentName: "FLEET_ENVIRONMENT"
            case .releaseTag: "FLEET_TAG"
            case .releaseCommit: "FLEET_COMMIT"
            }
        }

        /// Every reference without a parameter, by its spelling.
        static let named: [String: Reference] = [
            "host.name": .hostName, "host.address": .hostAddress,
            "environment.name": .environmentName, "release.tag": .releaseTag,
            "release.commit": .releaseCommit,
        ]

        init?(_ text: String) {
            if let found = Self.named[text] {
                self = found
            } else if text.hasPrefix("vars."), ShellWord.isVariableName(String(text.dropFirst(5))) {
                self = .variable(String(text.dropFirst(5)))
            } else {
                return nil
            }
        }
    }

    private enum Piece: Sendable, Hashable {
        case literal(String)
        case reference(Reference)
    }

    private let pieces: [Piece]
    /// Where the text stands, for messages about it.
    public let location: SourceLocation

    /// A template without references.
    public init(literal: String, location: SourceLocation) {
        pieces = [.literal(literal)]
        self.location = location
    }

    /// Reads a template; reports references that do not exist.
    public init(_ text: String, location: SourceLocation, reader: YAMLReader) {
        var pieces: [Piece] = []
        var rest = Substring(text)
        while let open = rest.firstRange(of: "${{") {
            pieces.append(.literal(String(rest[..<open.lowerBound])))
            rest = rest[open.upperBound...]
            guard let close = rest.firstRange(of: "}}") else {
                reader.report("`${{` without `}}`", at: location)
                break
            }
            let name = rest[..<close.lowerBound].split(separator: " ").joined(separator: " ")
            rest = rest[close.upperBound...]
            if let reference = Reference(name) {
                pieces.append(.reference(reference))
            } else {
                reader.report(
                    "`${{ \(name) }}` refers to nothing",
                    at: location,
                    hints: Suggestion.hint(for: name, in: Reference.named.keys).isEmpty
                        ? [
                            "there are vars.NAME, "
                                + Reference.named.keys.sorted().joined(separator: ", ")
                        ] : Suggestion.hint(for: name, in: Reference.named.keys)
                )
            }
        }
        pieces.append(.literal(String(rest)))
        self.pieces = pieces
        self.location = location
    }

    /// The references, in order.
    var references: [Reference] {
        pieces.compactMap { piece in
            guard case .reference(let reference) = piece else { return nil }
            return reference
        }
    }

    /// The text with every reference replaced by what somebody gives for it.
    func filled(_ value: (Reference) -> String) -> String {
        pieces.map { piece in
            switch piece {
            case .literal(let literal): literal
            case .reference(let reference): value(reference)
            }
        }.joined()
    }

    /// The text with every reference replaced by its value: for paths, URLs and names, which are
    /// passed on as data.
    ///
    /// - Throws: ``UndefinedReference``.
    public func value(in scope: StepScope) throws(UndefinedReference) -> String {
        var text = ""
        for piece in pieces {
            switch piece {
            case .literal(let literal): text += literal
            case .reference(let reference): text += try scope.value(of: reference, at: location)
            }
        }
        return text
    }

    /// The text as shell source in which references are environment variables, and the variables.
    ///
    /// Outside quotes the variable is quoted, so that a value stays one word.
    ///
    /// - Throws: ``UndefinedReference``.
    func shell(in scope: StepScope) throws(UndefinedReference)
        -> (text: String, environment: [EnvironmentVariable])
    {
        var text = ""
        var variables: [String: String] = [:]
        var quoting = ShellQuoting()
        for piece in pieces {
            switch piece {
            case .literal(let literal):
                quoting.read(literal)
                text += literal
            case .reference(let reference):
                let name = reference.variableName
                variables[name] = try scope.value(of: reference, at: location)
                if quoting.state == .single {
                    throw UndefinedReference(
                        message: "a reference inside single quotes would not be replaced",
                        hint: "use double quotes around it",
                        location: location
                    )
                }
                text += quoting.state == .none ? "\"${\(name)}\"" : "${\(name)}"
            }
        }
        let environment = variables.sorted { $0.key < $1.key }
            .map { EnvironmentVariable($0.key, $0.value) }
        return (text, environment)
    }
}

/// A reference that has no value where it is used.
public struct UndefinedReference: Error, Sendable, Hashable {
    /// What is wrong, for people.
    public let message: String
    /// What to do about it, if there is something to say.
    public let hint: String?
    /// Where the reference stands.
    public let location: SourceLocation
}

/// Follows shell quoting just far enough to know how a reference must be written.
private struct ShellQuoting {
    enum State { case none, single, double, comment }
    var state = State.none
    /// Text of a here-document expands like double quotes, but quotes in it are literal.
    private var sawHereDocument = false
    private var isEscaped = false
    private var previous: Unicode.Scalar = "\n"

    mutating func read(_ text: String) {
        // By scalars: a quote with a combining mark is one Character, but a quote to the shell.
        for scalar in text.unicodeScalars { read(scalar) }
        if sawHereDocument { state = .double }
    }

    private mutating func read(_ character: Unicode.Scalar) {
        defer { previous = character }
        if isEscaped {
            isEscaped = false
            return
        }
        switch (state, character) {
        case (.none, "\\"), (.double, "\\"): isEscaped = true
        case (.none, "'"): state = .single
        case (.single, "'"): state = .none
        case (.none, "\""): state = .double
        case (.double, "\""): state = .none
        case (.none, "#") where previous.properties.isWhitespace: state = .comment
        case (.comment, "\n"): state = .none
        case (.none, "<") where previous == "<": sawHereDocument = true
        default: break
        }
    }
}
