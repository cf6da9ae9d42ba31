/** Texts of the shell (`en.json`, `es.json` here) and of each page (in its folder); one language is loaded at a time. */
import i18n from "i18next"
import { initReactI18next } from "react-i18next"

export const languages = { en: "English", es: "Español" } as const
export type Language = keyof typeof languages
const KEPT = "llmgw-language"

const load = { en: () => import("./en"), es: () => import("./es") }

function preferred(): Language {
  const kept = localStorage.getItem(KEPT)
  const wished = kept ?? navigator.language.slice(0, 2)
  return wished in languages ? (wished as Language) : "en"
}

export async function startText() {
  await i18n.use(initReactI18next).init({
    fallbackLng: "en",
    defaultNS: "shell",
    resources: {},
    interpolation: { escapeValue: false }, // React escapes
    returnEmptyString: false,
  })
  await speak(preferred(), false)
}

export async function speak(language: Language, remember = true) {
  const { texts } = await load[language]()
  for (const [place, text] of Object.entries(texts)) i18n.addResourceBundle(language, place, text, true, true)
  await i18n.changeLanguage(language)
  document.documentElement.lang = language
  if (remember) localStorage.setItem(KEPT, language)
}
