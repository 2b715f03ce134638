import FleetPlan
import Testing

/// Which version the next release is: by what its commit has behind it.
struct ReleaseNamingTests {
    /// `+v1` is behind the commit, `-v2` is elsewhere, `=v3` is the commit itself.
    private func naming(_ tags: String...) -> ReleaseNaming {
        ReleaseNaming(
            tags: tags.map { tag in
                ReleaseNaming.Tag(
                    name: String(tag.dropFirst()),
                    isBehind: !tag.hasPrefix("-"),
                    isHere: tag.hasPrefix("=")
                )
            }
        )
    }

    private func token(_ naming: ReleaseNaming, _ asked: ReleaseNaming.Asked) -> String {
        do throws(ReleaseRefused) {
            return try naming.next(asked).tag
        } catch {
            return String(error.message.prefix { $0 != " " })
        }
    }

    @Test("A pre-release on another branch is not finished by a patch here")
    func someoneElsesPrerelease() throws {
        let next = try naming("+v1.1.0", "-v2.0.0-beta.1").next(.part(.patch, prerelease: nil))
        #expect(next.tag == "v1.1.1" && next.since == "v1.1.0")
        #expect(next.higherElsewhere == "v2.0.0-beta.1")
        #expect(
            token(naming("+v1.1.0", "+v2.0.0-rc.1"), .part(.major, prerelease: nil)) == "v2.0.0"
        )
    }

    /// Row K6.
    @Test("An older line counts on by itself, and only a name that exists is refused")
    func olderLine() {
        #expect(token(naming("+v1.1.0", "-v2.0.0"), .part(.patch, prerelease: nil)) == "v1.1.1")
        #expect(token(naming("+v1.1.0", "-v2.0.0"), .version("v1.1.1")) == "v1.1.1")
        #expect(
            token(naming("+v1.1.0", "-v1.1.1"), .part(.patch, prerelease: nil)) == "E_TAG_EXISTS"
        )
        #expect(token(naming("+v1.1.0"), .version("v1.0.9")) == "E_VERSION_LOWER")
        #expect(token(naming("+v1.1.0"), .version("v1.1.0")) == "E_TAG_EXISTS")
        #expect(token(naming("=v1.1.0"), .part(.patch, prerelease: nil)) == "E_TAGGED")
        #expect(token(naming("=v1.1.0-rc.1"), .part(.minor, prerelease: nil)) == "v1.1.0")
    }

    @Test("The form of the newest tag is kept")
    func prefix() {
        #expect(token(naming("+1.4.0"), .part(.minor, prerelease: nil)) == "1.5.0")
        #expect(token(naming("+1.4.0"), .version("v1.5.0")) == "1.5.0")
        #expect(token(naming(), .part(.minor, prerelease: nil)) == "v0.1.0")
    }

    @Test("Tags that look like versions of another form are named, and not begun beside")
    func otherForms() {
        #expect(
            token(naming("+v0.17", "+v0.23"), .part(.minor, prerelease: nil)) == "E_VERSION_FORM"
        )
        #expect(token(naming("+v0.17", "+v0.23"), .version("v0.24.0")) == "v0.24.0")
        #expect(token(naming("+nightly"), .part(.minor, prerelease: nil)) == "v0.1.0")
        #expect(token(naming("+v1.0.0"), .version("1.4.0+build.7")) == "E_VERSION_FORM")
    }
}
