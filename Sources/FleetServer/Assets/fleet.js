// What the pages do more with JavaScript: they keep themselves up to date, and show times on the reader's clock.
"use strict";
(function () {
  function localTimes(root) {
    root.querySelectorAll("time[datetime]").forEach(function (time) {
      var at = new Date(time.dateTime);
      if (!isNaN(at)) time.title = at.toLocaleString();
    });
  }
  localTimes(document);
  var stream = document.body.dataset.stream;
  var live = document.getElementById("live");
  if (!stream || !live || !window.EventSource) return;
  var said = document.getElementById("said");
  var lastSaid = 0;
  var source = new EventSource(stream);
  source.addEventListener("board", function (event) {
    // The server has escaped everything in it; scripts in it would not run under the page's policy.
    var focus = document.activeElement && live.contains(document.activeElement)
      ? document.activeElement.getAttribute("href") : null;
    var scrolls = Array.prototype.map.call(live.querySelectorAll(".scroll"), function (box) { return box.scrollLeft; });
    live.innerHTML = event.data;
    live.querySelectorAll(".scroll").forEach(function (box, number) { box.scrollLeft = scrolls[number] || 0; });
    if (focus) {
      var again = live.querySelector('a[href="' + CSS.escape(focus) + '"]');
      if (again) again.focus({ preventScroll: true });
    }
    // A screen reader is told at most every five seconds.
    var verdict = live.querySelector(".verdict");
    if (said && verdict && Date.now() - lastSaid > 5000) {
      lastSaid = Date.now();
      if (said.textContent !== verdict.textContent) said.textContent = verdict.textContent;
    }
  });
  source.addEventListener("over", function () {
    source.close();
    // What can be done next is another form.
    window.location.reload();
  });
  source.addEventListener("refused", function () {
    source.close();
    window.location.reload();
  });
})();
