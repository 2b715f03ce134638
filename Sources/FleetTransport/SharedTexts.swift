/// Texts that a value holds many times, written once each: a plan for a thousand hosts holds the same scripts for every
/// one of them.
///
/// It is handed to the encoder beside the value, as its ``userInfo``. What encodes such a text writes its number instead,
/// and whoever encodes the whole value writes the texts beside it.
///
/// `@unchecked Sendable`: it is made for one encoding or decoding, which happens on one thread, and nobody else sees it.
public final class SharedTexts: @unchecked Sendable {
    private var numbers: [String: Int] = [:]

    /// The texts, in the order of their numbers, from 0.
    public private(set) var texts: [String] = []

    /// Begins without any text.
    public init() {}

    /// Returns the number of a text, which is the next free one the first time.
    public func number(of text: String) -> Int {
        if let known = numbers[text] { return known }
        numbers[text] = texts.count
        texts.append(text)
        return texts.count - 1
    }

    /// Returns the text of a number; nil if there is none.
    public func text(_ number: Int) -> String? {
        texts.indices.contains(number) ? texts[number] : nil
    }

    /// Takes the texts that were written, before the value that names their numbers is read.
    public func read(_ texts: [String]) { self.texts = texts }

    /// Returns the texts that an encoder or a decoder was handed; nil if none were.
    public static func those(in userInfo: [CodingUserInfoKey: Any]) -> SharedTexts? {
        key.flatMap { userInfo[$0] as? SharedTexts }
    }

    /// What an encoder or a decoder is handed.
    public var userInfo: [CodingUserInfoKey: any Sendable] {
        Self.key.map { [$0: self] } ?? [:]
    }

    private static let key = CodingUserInfoKey(rawValue: "fleet.texts")
}
