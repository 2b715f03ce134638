internal import FoundationEssentials

/// The canonical bytes of a value: JSON with sorted keys, no spaces and no escaped slashes.
///
/// The same value gives the same bytes in every process, so the bytes can be hashed, compared and
/// stored. Values must hold no floating-point numbers.
public enum CanonicalJSON {
    /// Encodes a value.
    ///
    /// - Parameters:
    ///   - value: Any value of ours; they hold only texts, whole numbers and flags.
    ///   - userInfo: What the encoders of its parts are told.
    /// - Returns: UTF-8 without a line break.
    public static func encode(
        _ value: some Encodable,
        userInfo: [CodingUserInfoKey: any Sendable] = [:]
    ) -> [UInt8] {
        let encoder = CanonicalEncoder(userInfo: userInfo)
        do {
            try encoder.write(value)
        } catch {
            preconditionFailure("a value without canonical form: \(error)")
        }
        return encoder.bytes
    }

    /// Decodes a value that ``encode(_:userInfo:)`` wrote.
    ///
    /// - Parameters:
    ///   - type: The value's type.
    ///   - bytes: What was written.
    ///   - userInfo: What the decoders of its parts are told.
    /// - Returns: The value.
    /// - Throws: `DecodingError` if the bytes are not that value.
    public static func decode<Value: Decodable>(
        _ type: Value.Type,
        from bytes: [UInt8],
        userInfo: [CodingUserInfoKey: any Sendable] = [:]
    ) throws -> Value {
        let decoder = JSONDecoder()
        decoder.userInfo = userInfo
        return try decoder.decode(type, from: Data(bytes))
    }
}
