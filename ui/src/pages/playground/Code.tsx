import { Modal, Tabs } from "@mantine/core"
import { useTranslation } from "react-i18next"

import { root } from "../../api/client"
import { CodeBox } from "../../parts/CodeBox"

/** The same request by curl, Python and JavaScript; the key is left for the reader to put in. */
export function Code({
  body,
  opened,
  onClose,
}: {
  body: Record<string, unknown>
  opened: boolean
  onClose: () => void
}) {
  const { t } = useTranslation("playground")
  const json = JSON.stringify(body, null, 2)
  const curl = `curl ${root}/v1/chat/completions \\
  -H "X-API-Key: $LLM_GATEWAY_KEY" -H "Content-Type: application/json" \\
  -d '${json.replaceAll("'", "'\\''")}'`
  const python = `import json, os
from openai import OpenAI

client = OpenAI(base_url="${root}/v1", api_key=os.environ["LLM_GATEWAY_KEY"])
request = json.loads(r'''${json.replaceAll("'''", "\\u0027\\u0027\\u0027")}''')
for chunk in client.chat.completions.create(stream=True, model=request.pop("model"), messages=request.pop("messages"), extra_body=request):
    print(chunk.choices[0].delta.content or "" if chunk.choices else "", end="", flush=True)`
  const script = `import OpenAI from "openai"

const client = new OpenAI({ baseURL: "${root}/v1", apiKey: process.env.LLM_GATEWAY_KEY })
const stream = await client.chat.completions.create({ stream: true, ...${json} })
for await (const chunk of stream) process.stdout.write(chunk.choices[0]?.delta?.content ?? "")`
  return (
    <Modal opened={opened} onClose={onClose} title={t("code")} size="xl">
      <Tabs defaultValue="curl">
        <Tabs.List mb="sm">
          <Tabs.Tab value="curl">curl</Tabs.Tab>
          <Tabs.Tab value="python">Python</Tabs.Tab>
          <Tabs.Tab value="js">JavaScript</Tabs.Tab>
        </Tabs.List>
        <Tabs.Panel value="curl">
          <CodeBox code={curl} label="curl" />
        </Tabs.Panel>
        <Tabs.Panel value="python">
          <CodeBox code={python} label="Python" />
        </Tabs.Panel>
        <Tabs.Panel value="js">
          <CodeBox code={script} label="JavaScript" />
        </Tabs.Panel>
      </Tabs>
    </Modal>
  )
}
