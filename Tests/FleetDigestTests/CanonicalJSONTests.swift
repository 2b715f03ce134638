import FleetDigest
import Foundation
import Testing

/// Everything that the values of a journal are made of.
private struct Sample: Codable, Hashable {
    enum Kind: String, Codable { case plain, fancy }
    enum Shape: Codable, Hashable {
        case point
        case circle(radius: Int)
        case named(String, isRound: Bool?)
        indirect case both([Shape])
    }
    struct Empty: Codable, Hashable {}

    var zeta = "last in the order, first in the type"
    var alpha: Int?
    var number = -42
    var large = Int.max
    var small: UInt8 = 7
    var isOn = true
    var kind = Kind.fancy
    var texts: [String] = []
    var shapes: [Shape] = []
    var table: [String: Int] = [:]
    var nested: [String: [String: String]] = [:]
    var empty = Empty()
    var maybe: [Int?] = []
}

struct CanonicalJSONTests {
    /// What Foundation writes for the same value.
    private func reference(_ value: some Encodable) throws -> String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        return String(decoding: try encoder.encode(value), as: UTF8.self)
    }

    private func written(_ value: some Encodable) -> String {
        String(decoding: CanonicalJSON.encode(value), as: UTF8.self)
    }

    @Test("Lists, objects, enums with values and absent fields are written as Foundation does")
    func shapes() throws {
        var sample = Sample()
        #expect(written(sample) == (try reference(sample)))
        sample.alpha = 0
        sample.texts = ["a", "", "b/c"]
        sample.shapes = [
            .point, .circle(radius: 3), .named("x", isRound: nil), .named("y", isRound: false),
            .both([.point, .both([.circle(radius: -1)])]),
        ]
        sample.table = ["b": 2, "a": 1, "ab": 3, "B": 4, "a0": 5]
        sample.nested = ["outer": ["z": "1", "y": "2"], "empty": [:]]
        sample.maybe = [1, nil, 3]
        #expect(written(sample) == (try reference(sample)))
        #expect(written([sample, sample]) == (try reference([sample, sample])))
        #expect(try CanonicalJSON.decode(Sample.self, from: CanonicalJSON.encode(sample)) == sample)
    }

    @Test("Every control character, quote, slash and script is written as Foundation does")
    func characters() throws {
        let control = String(String.UnicodeScalarView((0...0x7F).compactMap(Unicode.Scalar.init)))
        for text in [control, "ä🦊\u{2028}\u{FEFF}", "e\u{301}", "</script>", "\u{0}", ""] {
            #expect(written([text]) == (try reference([text])))
            #expect(written([text: text]) == (try reference([text: text])))
        }
    }

    @Test("Random values are written as Foundation does, and read back", arguments: 0..<200)
    func random(seed: Int) throws {
        var generator = Generator(state: UInt64(seed) &* 0x9E37_79B9_7F4A_7C15 | 1)
        let sample = generator.sample()
        #expect(written(sample) == (try reference(sample)))
        #expect(try CanonicalJSON.decode(Sample.self, from: CanonicalJSON.encode(sample)) == sample)
    }

    @Test("A bare text, number or flag is a value")
    func bare() throws {
        #expect(written("x") == #""x""#)
        #expect(written(12) == "12")
        #expect(written(false) == "false")
        #expect(written([Int]()) == "[]")
    }
}

/// xorshift64: the same samples in every run.
private struct Generator: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state ^= state << 13
        state ^= state >> 7
        state ^= state << 17
        return state
    }

    mutating func text() -> String {
        let alphabet = Array("aAbB01_-/\\\"\n\t\u{1}é🦊. ")
        return String(
            (0..<Int.random(in: 0...6, using: &self)).map { _ in
                alphabet.randomElement(using: &self) ?? "a"
            }
        )
    }

    mutating func list<T>(_ make: (inout Self) -> T) -> [T] {
        (0..<Int.random(in: 0...4, using: &self)).map { _ in make(&self) }
    }

    mutating func shape(depth: Int = 0) -> Sample.Shape {
        switch Int.random(in: 0...(depth < 3 ? 3 : 2), using: &self) {
        case 0: .point
        case 1: .circle(radius: Int.random(in: -99...99, using: &self))
        case 2: .named(text(), isRound: [true, false, nil].randomElement(using: &self) ?? nil)
        default: .both(list { $0.shape(depth: depth + 1) })
        }
    }

    mutating func sample() -> Sample {
        var sample = Sample()
        sample.zeta = text()
        sample.alpha = Bool.random(using: &self) ? nil : Int(truncatingIfNeeded: next())
        sample.texts = list { $0.text() }
        sample.shapes = list { $0.shape() }
        sample.table = Dictionary(list { ($0.text(), 1) }) { $1 }
        sample.nested = Dictionary(
            list { generator in
                (generator.text(), Dictionary(generator.list { ($0.text(), $0.text()) }) { $1 })
            }
        ) { $1 }
        return sample
    }
}
