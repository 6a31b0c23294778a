// A browser started with LANG=C calls its language "en-US@posix", which is none; whoever formats numbers by it fails.

try {
  new Intl.NumberFormat(navigator.language);
} catch {
  Object.defineProperty(navigator, "language", { value: "en-GB", configurable: true });
}
export {};
