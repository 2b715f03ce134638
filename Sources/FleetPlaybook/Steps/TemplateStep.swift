internal import FleetDigest
internal import FleetTransport
internal import FleetYAML
internal import Mustache

/// `template: { source: FILE, destination: PATH }` fills in a local Mustache template and puts the
/// result on the host.
///
/// It knows the names that `${{ }}` knows: `{{vars.port}}`, `{{host.name}}`, `{{release.tag}}`. It is
/// filled in when the plan is made, so that the plan holds every byte of it and a name without a
/// value is found before any host is asked. From there on it is an upload, with its way back.
struct TemplateStep: StepKind {
    static let key = "template"
    static let summary =
        "Fills in a local Mustache template for each host, and puts the result there."
    static let isIdempotent = true
    static let defaultTimeoutMilliseconds = 60_000

    /// The longest result, in bytes: it travels in the environment of the host's shell, and Linux
    /// takes at most 128 KiB in one variable (`MAX_ARG_STRLEN`, execve(2)).
    static let limitBytes = 64 << 10

    /// Where the result goes, and how.
    private let upload: UploadStep
    private var source: String { upload.source }
    private var location: SourceLocation { upload.location }

    init?(_ node: YAMLNode, reader: YAMLReader) {
        guard let upload = UploadStep(node, as: Self.key, reader: reader) else { return nil }
        self.upload = upload
    }

    func localFiles(in environment: String) -> [String] { [source] }

    let reading = LocalFile.Reading.text

    /// What Mustache knows, and would leave out here without a word.
    private static func refused(in text: String) -> (mark: String, reason: String)? {
        var rest = Substring(text)
        while let open = rest.firstRange(of: "{{") {
            rest = rest[open.upperBound...]
            let tag = rest.firstRange(of: "}}").map { rest[..<$0.lowerBound] } ?? rest
            switch tag.first {
            case ">", "<", "$": return ("{{\(tag.prefix(1))", "includes another template")
            case "=": return ("{{=", "changes its marks")
            case "!", "%": break
            default: if tag.contains("(") { return ("{{\(tag)}}", "calls a function") }
            }
        }
        return nil
    }

    /// The template filled in for one host.
    private func filled(in scope: StepScope) throws(UndefinedReference) -> String {
        guard let written = scope.files[source]?.text else {
            throw UndefinedReference(
                message: "cannot read `\(source)`",
                hint: nil,
                location: location
            )
        }
        if let mark = Self.refused(in: written) {
            throw UndefinedReference(
                message: "`\(source)` \(mark.reason) (`\(mark.mark)`), which is not supported",
                hint: nil,
                location: location
            )
        }
        let template: MustacheTemplate
        do {
            // A configuration file is no HTML: nothing in it is escaped.
            template = try MustacheTemplate(string: "{{% CONTENT_TYPE:TEXT}}\n" + written)
        } catch let error as MustacheTemplate.ParserError {
            throw UndefinedReference(
                message: "`\(source)`, line \(error.context.lineNumber - 1): \(error.error)",
                hint: error.context.line,
                location: location
            )
        } catch {
            throw UndefinedReference(
                message: "`\(source)` is no Mustache template: \(error)",
                hint: nil,
                location: location
            )
        }
        var back = scope
        back.direction = .forward
        let values = Values(scope: back, location: location)
        let text = template.render(values)
        if let missing = values.missing {
            throw UndefinedReference(
                message: "`\(source)`: \(missing.message)",
                hint: missing.hint,
                location: location
            )
        }
        guard text.utf8.count <= Self.limitBytes, !text.utf8.contains(0) else {
            throw UndefinedReference(
                message: "`\(source)` becomes longer than \(Self.limitBytes) bytes, or holds a NUL",
                hint: "use `upload` for it",
                location: location
            )
        }
        return text
    }

    /// What the template has become on a host, and the scope in which that is the file to upload.
    private func result(in scope: StepScope) throws(UndefinedReference) -> (StepScope, text: String)
    {
        let text = try filled(in: scope)
        var scope = scope
        scope.files[source] = LocalFile(
            path: source,
            sizeBytes: text.utf8.count,
            sha256: SHA256Digest(of: Array(text.utf8)).description
        )
        return (scope, text)
    }

    func preflight(in scope: StepScope) throws(UndefinedReference) -> Script? {
        try upload.preflight(in: result(in: scope).0)
    }

    func action(in scope: StepScope) throws(UndefinedReference) -> Action {
        let (scope, text) = try result(in: scope)
        return .script(
            try upload.finish(
                first: #"[ "$(digest "./$name")" != "$FLEET_SHA256" ] || FLEET_PRESENT=1"#,
                arrival: #"printf %s "$FLEET_TEXT""#,
                more: [EnvironmentVariable("FLEET_TEXT", text)],
                in: scope
            )
        )
    }

    func verification(in scope: StepScope) throws(UndefinedReference) -> Script? {
        try upload.verification(in: result(in: scope).0)
    }

    func revertAction(in scope: StepScope, isIdempotent: Bool) throws(UndefinedReference)
        -> Action?
    {
        try upload.revertAction(in: result(in: scope).0, isIdempotent: isIdempotent)
    }
}

/// What a template may name, and the first name that stands for nothing.
///
/// Mustache would leave that out without a word.
private final class Values: MustacheParent, MustacheCustomRenderable {
    private let scope: StepScope
    private let location: SourceLocation
    private let prefix: String
    /// Where the first missing name is noted: at the root.
    private let root: Values?
    private(set) var missing: UndefinedReference?

    init(scope: StepScope, location: SourceLocation, prefix: String = "", root: Values? = nil) {
        self.scope = scope
        self.location = location
        self.prefix = prefix
        self.root = root
    }

    var isNull: Bool { false }

    /// A group of values is none itself.
    var renderText: String {
        miss(prefix.isEmpty ? "." : String(prefix.dropLast()))
        return ""
    }

    private func miss(_ name: String) {
        let root = root ?? self
        root.missing =
            root.missing
            ?? UndefinedReference(
                message: "`{{\(name)}}` refers to nothing",
                hint: "there are vars.NAME, "
                    + Template.Reference.named.keys.sorted().joined(separator: ", "),
                location: location
            )
    }

    func child(named name: String) -> Any? {
        if ["vars", "host", "environment", "release"].contains(name) {
            guard prefix.isEmpty else { return nil }
            return Values(scope: scope, location: location, prefix: name + ".", root: self)
        }
        do throws(UndefinedReference) {
            guard let reference = Template.Reference(prefix + name) else {
                throw UndefinedReference(
                    message: "`{{\(prefix)\(name)}}` refers to nothing",
                    hint: "there are vars.NAME, "
                        + Template.Reference.named.keys.sorted().joined(separator: ", "),
                    location: location
                )
            }
            let text = try scope.value(of: reference, at: location)
            return Value(text: text) { [root = root ?? self, prefix] part in
                root.miss("\(prefix)\(name).\(part)")
            }
        } catch {
            let root = root ?? self
            root.missing = root.missing ?? error
            return nil
        }
    }
}

/// A value that a section leaves out when it is empty, or says no: inventories know only text, and YAML lets people
/// write `false`, `False`, `no` and `off`.
private struct Value: MustacheCustomRenderable, MustacheParent {
    let text: String
    let miss: (String) -> Void

    var renderText: String { text }
    var isNull: Bool { ["", "false", "no", "off", "0"].contains(text.lowercased()) }

    /// A value has no parts; names inside its section are looked for farther out.
    func child(named name: String) -> Any? {
        if !["vars", "host", "environment", "release"].contains(name) { miss(name) }
        return nil
    }
}
