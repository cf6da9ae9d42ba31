import { useEffect } from "react"
import { useNavigate } from "react-router"

import type { Page } from "../pages"

const PATIENCE = 1200 // ms between `g` and the letter

/** `g` and a letter: a page; `/`: the page's search field (`data-search`); `?`: this list. */
export function useShortcuts(pages: Page[], help: () => void) {
  const navigate = useNavigate()
  useEffect(() => {
    let gone = 0
    function pressed(event: KeyboardEvent) {
      const target = event.target as HTMLElement
      const writing = target.isContentEditable || ["INPUT", "TEXTAREA", "SELECT"].includes(target.tagName)
      if (writing || event.ctrlKey || event.metaKey || event.altKey) return
      const page = Date.now() - gone < PATIENCE ? pages.find(({ key }) => key === event.key) : undefined
      gone = event.key === "g" ? Date.now() : 0
      if (page) void navigate(`/${page.id}`)
      else if (event.key === "?") help()
      else if (event.key === "/") {
        const field = document.querySelector<HTMLInputElement>("main [data-search]")
        if (field) {
          event.preventDefault()
          field.focus()
        }
      }
    }
    document.addEventListener("keydown", pressed)
    return () => document.removeEventListener("keydown", pressed)
  }, [pages, navigate, help])
}
