import FleetInventory
import FleetYAML
import Foundation
import Testing

struct ChangeWindowTests {
    /// 2026-11-23 was a Monday.
    private func time(_ text: String) throws -> LocalTime {
        try #require(LocalTime(text, after: LocalTime(day: 0, minute: 0)), "\(text)")
    }

    @Test(
        "Every week from a day to another, over the turn of the week",
        arguments: [
            ("2026-11-27 15:59", false), ("2026-11-27 16:00", true), ("2026-11-28 12:00", true),
            ("2026-11-29 23:59", true), ("2026-11-30 08:59", true), ("2026-11-30 09:00", false),
            ("2026-11-25 12:00", false),
        ]
    )
    func weekly(_ text: String, _ isInside: Bool) throws {
        let window = try #require(ChangeWindow("Fri 16:00 - Mon 09:00"))
        #expect(window.contains(try time(text)) == isInside)
    }

    @Test(
        "Hours of some days, over midnight too",
        arguments: [
            ("Mon-Thu 09:00-16:00", "2026-11-23 09:00", true),
            ("Mon-Thu 09:00-16:00", "2026-11-23 16:00", false),
            ("Mon-Thu 09:00-16:00", "2026-11-27 10:00", false),
            ("Sat,Mon 10:00-12:00", "2026-11-28 11:59", true),
            ("Sat,Mon 10:00-12:00", "2026-11-29 11:00", false),
            ("Fri-Mon 10:00-12:00", "2026-11-29 11:00", true),
            ("Fri-Mon 10:00-12:00", "2026-11-24 11:00", false),
            ("Fri 22:00-04:00", "2026-11-27 23:00", true),
            ("Fri 22:00-04:00", "2026-11-28 03:59", true),
            ("Fri 22:00-04:00", "2026-11-27 03:00", false),
            ("daily 00:00-24:00", "2026-11-29 00:00", true),
            ("daily 00:00-24:00", "2026-11-29 23:59", true),
        ]
    )
    func hours(_ window: String, _ text: String, _ isInside: Bool) throws {
        #expect(try #require(ChangeWindow(window)).contains(try time(text)) == isInside)
    }

    @Test(
        "Once, the last day whole",
        arguments: [
            ("2026-12-19 23:59", false), ("2026-12-20 00:00", true), ("2027-01-03 23:59", true),
            ("2027-01-04 00:00", false),
        ]
    )
    func once(_ text: String, _ isInside: Bool) throws {
        let window = try #require(ChangeWindow("2026-12-20 - 2027-01-03"))
        #expect(window.contains(try time(text)) == isInside)
        let exact = try #require(ChangeWindow("2026-12-20 12:00 - 2027-01-03 09:00"))
        #expect(!exact.contains(try time("2026-12-20 11:59")))
        #expect(exact.contains(try time("2027-01-03 08:59")))
    }

    @Test(
        "What is none is refused",
        arguments: [
            "", "Fri", "Fri 24:00 - Sat 00:00", "Fri 16:00", "Fri 16:00 - Fri 16:00",
            "Fri 24:01 - Mon 09:00",
            "Fri 4:00-05:00",
            "Fru 16:00 - Mon 09:00", "Mon 09:00-09:00", "2026-02-29 - 2026-03-01",
            "2027-01-03 - 2026-12-20", "2026-13-01 - 2027-01-01", "Mon-Thu-Sat 09:00-10:00", "-",
            "2026-12-20 25:00 - 2027-01-03",
        ]
    )
    func bad(_ text: String) { #expect(ChangeWindow(text) == nil) }

    @Test("The calendar is Foundation's, for two centuries")
    func calendar() throws {
        var calendar = Calendar(identifier: .gregorian)
        calendar.timeZone = try #require(TimeZone(identifier: "UTC"))
        for day in stride(from: -20_000, to: 60_000, by: 13) {
            let parts = calendar.dateComponents(
                [.year, .month, .day, .weekday],
                from: Date(timeIntervalSince1970: Double(day) * 86_400 + 3600)
            )
            let text = String(
                format: "%04d-%02d-%02d 01:00",
                try #require(parts.year),
                try #require(parts.month),
                try #require(parts.day)
            )
            let time = try time(text)
            #expect(time.day == day, "\(text)")
            #expect(time.weekday == (try #require(parts.weekday) + 5) % 7, "\(text)")
            #expect(LocalTime(unixSeconds: day * 86_400 + 3600, offsetSeconds: 0) == time)
        }
    }

    @Test("The next opening is found over freezes, week ends and the change to summer time")
    func nextOpening() throws {
        let zone = try #require(TimeZone(identifier: "Europe/Berlin"))
        func offset(_ seconds: Int) -> Int {
            zone.secondsFromGMT(for: Date(timeIntervalSince1970: Double(seconds)))
        }
        func next(_ policy: EnvironmentPolicy, from text: String) throws -> String? {
            let start = try time(text).unixSeconds(offset: offset)
            guard let found = policy.nextOpening(from: start, offset: offset) else { return nil }
            let local = LocalTime(unixSeconds: found, offsetSeconds: offset(found))
            return
                "\(local.day - (try time("2026-11-23 00:00")).day) \(local.minute / 60):\(local.minute % 60)"
        }
        var policy = EnvironmentPolicy()
        #expect(try next(policy, from: "2026-11-23 10:07") == "0 10:7")
        policy.freezes = [try #require(ChangeWindow("Fri 16:00 - Mon 09:00"))]
        #expect(try next(policy, from: "2026-11-27 18:00") == "7 9:0")
        policy.windows = [try #require(ChangeWindow("Mon-Thu 10:00-16:00"))]
        #expect(try next(policy, from: "2026-11-26 16:00") == "7 10:0")
        #expect(try next(policy, from: "2026-11-24 08:00") == "1 10:0")
        // In the night to 2027-03-28 two o'clock is three o'clock.
        policy.freezes = [try #require(ChangeWindow("2027-03-27 - 2027-03-28"))]
        policy.windows = []
        #expect(try next(policy, from: "2027-03-28 01:30") == "126 0:0")
        policy.freezes = [try #require(ChangeWindow("2000-01-01 - 2199-01-01"))]
        #expect(try next(policy, from: "2026-11-23 10:00") == nil)
    }

    @Test(
        "A time of day is the next one; a date is that one",
        arguments: [
            ("22:00", 5, 1320), ("09:00", 6, 540), ("10:00", 6, 600), ("1970-01-20 06:30", 19, 390),
            ("1970-01-20T06:30", 19, 390),
        ]
    )
    func readingTimes(_ text: String, _ day: Int, _ minute: Int) throws {
        let time = try #require(LocalTime(text, after: LocalTime(day: 5, minute: 600)))
        #expect(time == LocalTime(day: day, minute: minute))
        for bad in ["", "22", "25:00", "2026-1-1 10:00", "now", "1 2 10:00"] {
            #expect(LocalTime(bad, after: time) == nil, "\(bad)")
        }
    }

    private func read(_ policy: String) throws(Diagnostics) -> EnvironmentPolicy {
        try InventoryReader.read(
            "hosts: [web1]\npolicy: \(policy)\n",
            file: "inventory/production.yml",
            environment: "production"
        ).policy
    }

    @Test func aPolicyIsReadWhole() throws {
        let policy = try read(
            """
            { protected: true, require: [staged, approved], staging: qa, hotfix_requires: [approved],
              approval: { expires: 2h, by_another: true }, freeze: ["Fri 16:00 - Mon 09:00"],
              windows: ["Mon-Thu 09:00-16:00", daily 22:00-23:00], time_zone: Europe/Berlin }
            """
        )
        #expect(policy.isProtected && policy.requirements == [.staged, .approved])
        #expect(policy.stagingEnvironment == "qa" && policy.hotfixRequirements == [.approved])
        #expect(policy.approvalMilliseconds == 7_200_000 && policy.needsAnotherApprover)
        #expect(policy.freezes.count == 1 && policy.windows.count == 2)
        #expect(policy.timeZone == "Europe/Berlin")
    }

    @Test(
        "Mistakes in a policy are pointed at",
        arguments: [
            ("{ require: [stagd] }", "did you mean `staged`?"),
            ("{ freeze: [Friday] }", "`Friday` is not a stretch of time"),
            ("{ require: [staged], staging: production }", "cannot be its own staging"),
            ("{ approval: { expire: 1h } }", "did you mean `expires`?"),
            ("{ freezes: [] }", "did you mean `freeze`?"),
        ]
    )
    func badPolicies(_ policy: String, _ text: String) {
        do throws(Diagnostics) {
            _ = try read(policy)
            Issue.record("accepted: \(policy)")
        } catch {
            #expect(error.rendered.contains(text), "\(error.rendered)")
            #expect(error.rendered.contains("inventory/production.yml:2:"))
        }
    }

    @Test(
        "Of an hour that comes twice the next one to come is meant; one that is left out comes after"
    )
    func twice() throws {
        let zone = try #require(TimeZone(identifier: "Europe/Berlin"))
        func offset(_ seconds: Int) -> Int {
            zone.secondsFromGMT(for: Date(timeIntervalSince1970: Double(seconds)))
        }
        // 2026-10-25: at 03:00 summer time the clocks are set back to 02:00.
        let twice = try time("2026-10-25 02:30")
        let first = 1_792_888_200
        #expect(twice.unixSeconds(offset: offset) == first)
        #expect(twice.unixSeconds(after: first - 60, offset: offset) == first)
        #expect(twice.unixSeconds(after: first + 60, offset: offset) == first + 3600)
        #expect(twice.unixSeconds(after: first + 7200, offset: offset) == first)
        // 2026-03-29: 02:30 is never shown.
        let never = try time("2026-03-29 02:30").unixSeconds(offset: offset)
        #expect(
            LocalTime(unixSeconds: never, offsetSeconds: offset(never))
                == (try time("2026-03-29 03:30"))
        )
    }
}
