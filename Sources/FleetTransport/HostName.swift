/// The name by which an inventory knows a host; unique within an environment.
public struct HostName: Sendable, Hashable, Comparable, Codable, CustomStringConvertible,
    ExpressibleByStringLiteral
{
    /// The name as written in the inventory.
    public let text: String

    /// Names a host.
    public init(_ text: String) { self.text = text }

    /// Names a host in a literal.
    public init(stringLiteral value: String) { text = value }

    /// Reads the name as a plain string.
    public init(from decoder: any Decoder) throws {
        text = try decoder.singleValueContainer().decode(String.self)
    }

    /// Writes the name as a plain string.
    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(text)
    }

    /// The name.
    public var description: String { text }

    /// Orders names as people count: `web2` before `web10`.
    public static func < (first: HostName, second: HostName) -> Bool {
        HostRange.precedes(first.text, second.text)
    }
}
