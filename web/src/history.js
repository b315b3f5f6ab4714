// The slider over the versions of a path: comfort beside the links, which work without it.
const box = document.querySelector("[data-slider]");
const versions = [...document.querySelectorAll("[data-version]")].reverse();
if (box && versions.length > 1) {
  const slider = box.querySelector("input");
  const said = box.querySelector("output");
  const say = () => {
    const text = versions[Number(slider.value)]?.dataset.version ?? "";
    said.textContent = text;
    slider.setAttribute("aria-valuetext", text);
  };
  slider.addEventListener("input", say);
  slider.addEventListener("change", () => {
    const link = versions[Number(slider.value)];
    if (link) location.assign(link.href);
  });
  box.hidden = false;
  say();
}
