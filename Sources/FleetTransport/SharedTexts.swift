internal import Synchronization

/// Texts that a value holds many times, written once each: a plan for a thousand hosts holds the same scripts for every
/// one of them.
///
/// It is handed to the encoder beside the value, as its ``userInfo``. What encodes such a text writes its number instead,
/// and whoever encodes the whole value writes the texts beside it.
public final class SharedTexts: Sendable {
    private struct State {
        var numbers: [String: Int] = [:]
        var texts: [String] = []
    }

    private let state = Mutex(State())

    /// Begins without any text.
    public init() {}

    /// The texts, in the order of their numbers, from 0.
    public var texts: [String] { state.withLock { $0.texts } }

    /// Returns the number of a text, which is the next free one the first time.
    public func number(of text: String) -> Int {
        state.withLock { state in
            if let known = state.numbers[text] { return known }
            state.numbers[text] = state.texts.count
            state.texts.append(text)
            return state.texts.count - 1
        }
    }

    /// Returns the text of a number; nil if there is none.
    public func text(_ number: Int) -> String? {
        state.withLock { $0.texts.indices.contains(number) ? $0.texts[number] : nil }
    }

    /// Takes the texts that were written, before the value that names their numbers is read.
    public func read(_ texts: [String]) { state.withLock { $0.texts = texts } }

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
