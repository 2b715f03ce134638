/// A piece of a YAML document that knows where it stands.
///
/// Scalars are kept as the text that was written: `1.10` stays `1.10`, `no` stays `no`. YAML's own
/// typing turns `22:22` into 1342 and `version: 1.10` into 1.1; whoever reads a field decides its
/// type instead.
public struct YAMLNode: Sendable, Hashable {
    /// What a node holds.
    public indirect enum Content: Sendable, Hashable {
        /// The text as written; `plain` is false when it was quoted or a block.
        case scalar(String, plain: Bool)
        /// A list.
        case sequence([YAMLNode])
        /// Keys and values in the order of the file; keys are unique.
        case mapping([Pair])
    }

    /// One entry of a mapping.
    public struct Pair: Sendable, Hashable {
        /// The key's text.
        public let key: String
        /// Where the key stands.
        public let keyLocation: SourceLocation
        /// The value.
        public let value: YAMLNode
    }

    /// What the node holds.
    public let content: Content
    /// Where the node begins.
    public let location: SourceLocation

    /// Whether nothing was written, as in `key:`, `key: ~` and `key: null`.
    public var isNull: Bool {
        guard case .scalar(let text, plain: true) = content else { return false }
        return text.isEmpty || text == "~" || text == "null"
    }

    /// What the node is, for messages.
    public var kind: String {
        switch content {
        case .scalar: isNull ? "nothing" : "text"
        case .sequence: "a list"
        case .mapping: "a mapping"
        }
    }
}
