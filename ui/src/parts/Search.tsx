import { TextInput, type TextInputProps } from "@mantine/core"
import { IconSearch } from "@tabler/icons-react"
import { useEffect, useRef, useState } from "react"

const PAUSE = 150 // ms without a key, before what was typed is told

interface Props extends Omit<TextInputProps, "value" | "onChange" | "label"> {
  /** Its name, and what stands in it while it is empty. */
  label: string
  value: string
  onChange: (value: string) => void
}

/** The search field of a page (`/` leads there). It keeps what is typed by itself: an address follows too slowly. */
export function Search({ label, value, onChange, ...rest }: Props) {
  const [text, setText] = useState(value)
  const told = useRef(value)
  const timer = useRef<ReturnType<typeof setTimeout>>(undefined)
  useEffect(() => {
    if (value === told.current) return
    clearTimeout(timer.current)
    told.current = value // it was changed elsewhere
    setText(value)
  }, [value])
  useEffect(() => () => clearTimeout(timer.current), [])
  return (
    <TextInput
      data-search
      type="search"
      aria-label={label}
      placeholder={label}
      leftSection={<IconSearch size={15} />}
      {...rest}
      value={text}
      onChange={(event) => {
        const typed = event.currentTarget.value
        setText(typed)
        clearTimeout(timer.current)
        timer.current = setTimeout(() => {
          told.current = typed
          onChange(typed)
        }, PAUSE)
      }}
    />
  )
}
